#include "daemon/homecoming.h"

#include "daemon/records.h"

#include <stdlib.h>

struct homecoming *homecoming_new(void) {
    struct homecoming *homecoming = calloc(1, sizeof *homecoming);
    if (homecoming != NULL)
        homecoming->closed_to = INT64_MIN;
    return homecoming;
}

void kept_free(struct kept *kept) {
    if (((const struct record *)(const void *)kept->record)->kind == RECORD_STATE)
        state_order_free(((const struct record_state *)(const void *)kept->record)->order);
    free(kept);
}

void homecoming_free(struct homecoming *homecoming) {
    if (homecoming == NULL)
        return;
    for (struct kept *kept = homecoming->tail, *behind; kept != NULL; kept = behind) {
        behind = kept->behind;
        kept_free(kept);
    }
    stored_free(homecoming->image);
    free(homecoming);
}
