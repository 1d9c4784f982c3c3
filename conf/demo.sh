#!/bin/sh
# What `make run` does, once all is built: the daemon on conf/demo.yaml, this machine's metrics into it five times a
# second, and a view of the forecasts; Ctrl-C (or the end of RUN_SECONDS) ends all of it.
set -u
BUILD=${BUILD:-build}
ticks=tcp://127.0.0.1:7711 forecasts=tcp://127.0.0.1:7712 control=tcp://127.0.0.1:7713
log=$BUILD/demo.log
daemon='' feed=''

finish() {
	trap '' INT TERM
	[ -n "$feed" ] && kill "$feed" 2>/dev/null && wait "$feed"
	if [ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null; then
		echo
		"$BUILD/forecast" ctl models --control "$control"
		kill "$daemon" 2>/dev/null
	fi
	[ -n "$daemon" ] && wait "$daemon"
	status=$?
	[ "$status" -eq 0 ] || { echo "forecastd ended with status $status; its log:" >&2; cat "$log" >&2; }
	exit "$status"
}

# The programs are not to see the terminal's Ctrl-C: this script ends them in order.
trap finish INT TERM
setsid "$BUILD/forecastd" -c conf/demo.yaml >"$log" 2>&1 &
daemon=$!
tries=0
until "$BUILD/forecast" ctl status --control "$control" >/dev/null 2>&1; do
	tries=$((tries + 1))
	if [ "$tries" -gt 20 ] || ! kill -0 "$daemon" 2>/dev/null; then
		echo "forecastd does not answer; its log:" >&2
		cat "$log" >&2
		finish
	fi
	sleep 0.2
done
# What answered may be another daemon on these ports; then ours has ended, as it could not bind.
sleep 0.3
kill -0 "$daemon" 2>/dev/null || finish
setsid "$BUILD/forecast" feed --host --rate 5 --ticks "$ticks" >/dev/null &
feed=$!

echo "This machine's metrics, five ticks a second. First the baseline (last value) forecasts; after about a minute each model has"
echo "trained itself in the background, and takes over if it is better on steps it has not seen. Log: $log"
if [ -t 0 ] && [ -t 1 ]; then
	sleep 2
	"$BUILD/forecast" watch --live ${RUN_SECONDS:+--for "$RUN_SECONDS"} --forecasts "$forecasts" --control "$control"
else
	"$BUILD/forecast" watch --events --pace 10 ${RUN_SECONDS:+--for "$RUN_SECONDS"} --forecasts "$forecasts" --control "$control"
fi
finish
