#include "daemon/notices.h"

#include "daemon/wire.h"

#include <string.h>

static void tell_pause(struct publisher *publisher, const char *stream, uint64_t step, bool paused) {
    publisher_event(publisher, paused ? "paused" : "resumed", stream,
                    json_pack("{s:s, s:I}", "stream", stream, "step", (json_int_t)step),
                    paused ? "stream %s is paused behind step %llu: nothing is learnt from it, and no alarm raised"
                           : "stream %s is learnt from again, behind step %llu",
                    stream, (unsigned long long)step);
}

void notices_publish(struct publisher *publisher, const struct config *config, const struct record_told *told) {
    char stream[WIRE_MAX_NAME + 1];
    memcpy(stream, told->name, told->n);
    stream[told->n] = '\0';
    (void)config;
    switch (told->what) {
    case TOLD_PAUSED: tell_pause(publisher, stream, told->step, true); break;
    case TOLD_RESUMED: tell_pause(publisher, stream, told->step, false); break;
    }
}
