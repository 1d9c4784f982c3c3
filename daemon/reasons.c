#include "daemon/reasons.h"

static const struct {
    const char *name, *sentence;
} table[N_REASONS] = {[REASON_NONE] = {"none", "nothing is wrong"},
#define X(constant, name, sentence) [REASON_##constant] = {name, sentence},
                      REASONS(X)
#undef X
};

const char *reason_name(enum reason reason) {
    return (unsigned)reason < N_REASONS ? table[reason].name : "unknown";
}

const char *reason_sentence(enum reason reason) {
    return (unsigned)reason < N_REASONS ? table[reason].sentence : "the reason is not known";
}
