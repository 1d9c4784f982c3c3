#include "engine/expert.h"

#include <assert.h>

const char *expert_name(enum expert expert) {
    static const char *const names[EXPERT_COUNT] = {"last_value", "seasonal", "drift",  "smoothing",
                                                    "ridge",      "readout",  "network"};
    assert(expert >= 0 && expert < EXPERT_COUNT);
    return names[expert];
}
