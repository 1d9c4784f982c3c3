/*
 * Why a tick, or what stands for one, is not taken. One table for counters, events, replies and the
 * documentation; the names go over the wire and are never changed. New ones come at the end: the numbers are on disk.
 */
#ifndef DAEMON_REASONS_H
#define DAEMON_REASONS_H

/* X(constant, name on the wire, sentence) */
#define REASONS(X) \
    X(MALFORMED, "malformed", "not MessagePack, JSON or line protocol") \
    X(FRAMES, "frames", "a message has one or two frames") \
    X(SHAPE, "shape", \
      "a tick is [t, values], [t, values, seq] or a map with t and v, a label a map with t and label") \
    X(TIME, "time", "the time is not an integer of nanoseconds that int64 holds") \
    X(VALUE, "value", "a value is not a number, nil or NaN") \
    X(INFINITE, "infinite", "a value is infinite") \
    X(FEATURES, "features", "the values do not match the features of the class") \
    X(NAME, "name", "a stream name is 1 to 255 bytes of UTF-8 without NUL") \
    X(NO_CLASS, "no_class", "no class has a pattern that matches the stream") \
    X(NO_MODEL, "no_model", "no model serves the class of the stream") \
    X(STREAM_LIMIT, "stream_limit", "max_streams of the class is reached") \
    X(LATE, "late", "the time goes back") \
    X(REPEATED, "repeated", "the time repeats the one before") \
    X(NO_MEMORY, "no_memory", "there is no memory for another stream") \
    X(ID, "id", "a category is not an integer id that its model knows") \
    X(AHEAD, "ahead", "the time is further ahead of the daemon's clock than max_clock_skew") \
    X(QUALITY, "quality", "the qualities are not true, false or nil, or not those of the values") \
    X(LABEL, "label", "a label is of no step that is held, or not a class of an event of the stream") \
    X(DISK, "disk", "the stream is not in memory, and the disk, where it may be, fails") \
    X(UNREADABLE, "unreadable", "the stream is on disk, and cannot be read there now")

enum reason {
    REASON_NONE,
#define X(constant, name, sentence) REASON_##constant,
    REASONS(X)
#undef X
        N_REASONS
};

const char *reason_name(enum reason reason); /* the name on the wire; "none" for REASON_NONE */
const char *reason_sentence(enum reason reason);

#endif
