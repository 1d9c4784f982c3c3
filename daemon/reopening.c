#include "daemon/reopening.h"

#include <stdio.h>
#include <string.h>

enum { PAGE_MOST = 1000 };

void reopening_init(struct reopening *reopening, const struct config *config, struct returns *returns,
                    struct ingest *ingest) {
    *reopening = (struct reopening){.returns = returns, .ingest = ingest, .done = true};
    for (int c = 0; c < config->n_classes; c++)
        reopening->done &= config->classes[c].time.close_after == 0;
}

static void take_page(struct reopening *reopening, const struct stored *answer) {
    const char *at = answer->bytes;
    for (int i = 0; i < answer->page.n; i++) {
        const char *name = at;
        int64_t end;
        at += strlen(at) + 1;
        memcpy(&end, at, sizeof end);
        at += sizeof end;
        ingest_open_on_disk(reopening->ingest, name, end);
    }
    reopening->done = !answer->page.more;
    if (answer->page.more)
        snprintf(reopening->after, sizeof reopening->after, "%s", at);
}

void reopening_poll(struct reopening *reopening) {
    struct stored *answer = reopening->asked ? returns_looked_open(reopening->returns) : NULL;
    if (answer != NULL) {
        reopening->asked = false;
        if (answer->found == STORED_NAMES) /* else the disk fails: once more */
            take_page(reopening, answer);
        stored_free(answer);
    }
    if (!reopening->done && !reopening->asked)
        reopening->asked = returns_look_for_open(reopening->returns, reopening->after, PAGE_MOST);
}
