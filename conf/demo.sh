#!/bin/sh
# What `make run` does, once all is built: the daemon on conf/demo.yaml, this machine's metrics into it five times a
# second, and a view of the forecasts; Ctrl-C (or the end of RUN_SECONDS) ends all of it.
set -u
BUILD=${BUILD:-build}
ticks=tcp://127.0.0.1:7711 forecasts=tcp://127.0.0.1:7712 control=tcp://127.0.0.1:7713
log=$BUILD/demo.log
daemon='' feed='' view=''

finish() { # finish STATUS: ends all that was started, in order
	trap '' HUP INT TERM PIPE
	status=$1
	for client in "$feed" "$view"; do
		[ -n "$client" ] && kill "$client" 2>/dev/null && wait "$client" 2>/dev/null
	done
	if [ -n "$daemon" ]; then
		models=$("$BUILD/forecast" ctl models --control "$control" 2>/dev/null)
		kill "$daemon" 2>/dev/null
		wait "$daemon"
		ended=$?
		if [ "$ended" -ne 0 ]; then
			echo "forecastd ended with status $ended; its log:" >&2
			cat "$log" >&2
			status=1
		else
			printf '\n%s\n' "$models" 2>/dev/null
		fi
	fi
	exit "$status"
}

# The programs are not to see the terminal's Ctrl-C: this script ends them in order.
trap 'finish 0' HUP INT TERM PIPE
setsid "$BUILD/forecastd" -c conf/demo.yaml >"$log" 2>&1 &
daemon=$!
tries=0
until "$BUILD/forecast" ctl status --control "$control" >/dev/null 2>&1; do
	tries=$((tries + 1))
	if [ "$tries" -gt 20 ] || ! kill -0 "$daemon" 2>/dev/null; then
		echo "forecastd does not answer" >&2
		finish 1
	fi
	sleep 0.2
done
# What answered may be another daemon on these ports; then ours has ended, as it could not bind.
sleep 0.3
kill -0 "$daemon" 2>/dev/null || finish 1
setsid "$BUILD/forecast" feed --host --rate 5 --ticks "$ticks" >/dev/null &
feed=$!

echo "This machine's metrics, five ticks a second. First cheap experts forecast, as the last value; after about a minute each model"
echo "has trained itself in the background, and its network joins them, with the weight that its errors earn. Log: $log"
if [ -t 0 ] && [ -t 1 ]; then
	sleep 2
	set -- --live
else
	set -- --events --pace 10
fi
# In the background, as a shell sees to signals only when it waits; but with the terminal, which the shell takes from
# what it puts there.
exec 3<&0
"$BUILD/forecast" watch "$@" ${RUN_SECONDS:+--for "$RUN_SECONDS"} --forecasts "$forecasts" --control "$control" <&3 &
view=$!
wait "$view"
status=$?
view=
finish "$status"
