#include "clients/forecast/feed.h"

#include "clients/forecast/classes.h"
#include "clients/forecast/commands.h"
#include "clients/forecast/feed_labels.h"
#include "clients/forecast/options.h"
#include "clients/forecast/refusals.h"
#include "clients/forecast/rows.h"
#include "clients/forecast/run.h"

#include <stdlib.h>
#include <string.h>

static struct {
    struct rows_options rows;
    const char *columns, *ticks, *control, *producer;
    bool host, loop, by_name, no_check, labels_only, ack;
    long copies, offset, limit, bundle, label_after;
    double rate, speed, seconds, wait;
} options = {.rows = {.delimiter = ','}, .copies = 1, .label_after = 1, .wait = 5};

static const struct option_row rows_of_options[] = {
    {"csv", 'c', OPTION_TEXT, "FILE", "send the rows of a CSV file with a header row; - is standard input",
     &options.rows.path, 0, 0},
    {"host", 0, OPTION_FLAG, NULL,
     "send this machine's metrics instead: streams host/NAME, cpu/N, disk/DEVICE,\nnet/INTERFACE", &options.host, 0,
     0},
    {"stream", 's', OPTION_TEXT, "NAME", "the stream's name (default: the file's, without its ending)",
     &options.rows.stream, 0, 0},
    ROWS_OPTIONS(options.rows),
    {"columns", 0, OPTION_TEXT, "LIST",
     "what to send, in order: COLUMN or FEATURE=COLUMN, divided by commas (default: the\nfeatures of the stream's class, if all are columns; else all columns with numbers)",
     &options.columns, 0, 0},
    {"by-name", 0, OPTION_FLAG, NULL,
     "send values under their features' names, not in order; also where --columns has a =", &options.by_name, 0, 0},
    {"label", 0, OPTION_TEXT, "COL",
     "tell labels too, for a model with head: event: the column with the number of each\nrow's class, empty where it is not known",
     &options.rows.label_column, 0, 0},
    {"label-after", 0, OPTION_INTEGER, "N",
     "a label goes out behind the N-th row of its stream after its own (default 1, as\nan interval of a class with `every` has closed then)",
     &options.label_after, 0, 1e6},
    {"labels-only", 0, OPTION_FLAG, NULL, "send the labels of ticks that were sent before, and no ticks",
     &options.labels_only, 0, 0},
    {"copies", 0, OPTION_INTEGER, "N", "send each row to N streams, NAME-0, NAME-1, ...", &options.copies, 1, 1e7},
    {"offset", 0, OPTION_INTEGER, "K", "copy i has the values of the row K*i further on, around the end",
     &options.offset, 0, 1e9},
    {"rate", 'r', OPTION_NUMBER, "N", "N rows a second; with --host N samples a second (default 5)", &options.rate,
     1e-6, 1e9},
    {"speed", 0, OPTION_NUMBER, "X", "X times as fast as the rows' own times say (default: as fast as it goes)",
     &options.speed, 1e-9, 1e12},
    {"limit", 'n', OPTION_INTEGER, "N", "stop after N rows", &options.limit, 1, 1e18},
    {"for", 0, OPTION_NUMBER, "SECONDS", "stop after this time", &options.seconds, 0.001, 1e9},
    {"loop", 0, OPTION_FLAG, NULL, "at the end begin again, times going on", &options.loop, 0, 0},
    {"bundle", 'b', OPTION_INTEGER, "N", "send N ticks as one message: faster by far", &options.bundle, 1, 100000},
    {"ticks", 't', OPTION_TEXT, "ENDPOINT", "where the daemon takes ticks (default " FORECAST_DEFAULT_TICKS ")",
     &options.ticks, 0, 0},
    {"ack", 0, OPTION_FLAG, NULL,
     "have every tick acknowledged when it is on the daemon's disk; sends again what a lost\nconnection, a restart of the daemon or of this command has left open, and nothing twice.\n--ticks is then bus.acknowledged of the daemon (default " FORECAST_DEFAULT_ACKNOWLEDGED
     ")",
     &options.ack, 0, 0},
    {"producer", 0, OPTION_TEXT, "NAME",
     "with --ack: under which name the daemon counts these ticks. The same rows under the same\nname go on where they ended (default: this machine and the file's path)",
     &options.producer, 0, 0},
    {"control", 0, OPTION_TEXT, "ENDPOINT",
     "where it is asked for the class of the stream (default " FORECAST_DEFAULT_CONTROL ")", &options.control, 0, 0},
    {"no-check", 0, OPTION_FLAG, NULL, "do not ask", &options.no_check, 0, 0},
    {"wait", 'w', OPTION_NUMBER, "SECONDS", "how long to wait for a daemon (default 5)", &options.wait, 0, 1e6},
    {0},
};

const struct option_command feed_command = {
    .name = "forecast feed",
    .usage = "--csv FILE|- [OPTIONS]\nforecast feed --host [--rate N] [--for SECONDS]",
    .summary = "sends ticks to the daemon.",
    .rows = rows_of_options,
    .notes =
        "A cell that is empty or says NA, NaN, null or - is a missing value. Other text where a number is\n"
        "due ends the command with a sentence that names file, line and column.\n"
        "With --ack a row counts when its newline has come: a last one without is told of, and not sent.\n"
        "With --ack and --label a file may grow between two runs only with --label-after 0: else the labels that\n"
        "are due at its end go out before the rows to come, and another run counts them otherwise.\n",
    .examples = "  forecast feed --csv ETTh1.csv --stream ett/1                    # as fast as it goes\n"
                "  forecast feed --csv prices.csv --stream-column symbol --columns close,volume --speed 60\n"
                "  forecast feed --csv log.csv --time-format '%d.%m.%Y %H:%M' --delimiter ';' --rate 10 --loop\n"
                "  forecast feed --csv meter.csv --ack                            # again, after any interruption\n"
                "  sensors-to-csv | forecast feed --csv - --stream plant/boiler-7\n"
                "  forecast feed --csv cards.csv --stream-column card --columns amount,distance --label fraud\n"
                "  forecast feed --csv found.csv --stream plant/boiler-7 --label fault --labels-only\n"
                "  forecast feed --host --rate 5\n",
};

/* The way through a file: rows from it or from memory, paced. */
struct csv_feed {
    struct rows rows;
    struct row_store store; /* for copies with an offset, and for --loop */
    bool stored;
    size_t at;     /* in the store */
    int64_t shift; /* of times, by the rounds of --loop */
    int64_t start, first_t, last_t;
    uint64_t n, late; /* rows sent; of them not later than the one before */
    uint64_t paced_n; /* rows before the first one that is paced */
    char *name;       /* of a copy */
    struct feed_sender sender;
    struct feed_labels labels;
    struct feed_acknowledged acknowledged; /* with --ack */
    struct progress progress;
};

/* How long a round of the loop is: from the first time to the last, and one interval more. */
static int64_t round_length(const struct row_store *store) {
    size_t last = store->n - 1;
    int64_t interval = RUN_NS;

    for (size_t i = last; i > 0 && store->t[i] <= store->t[last]; i--)
        if (store->t[i - 1] < store->t[i]) {
            interval = store->t[i] - store->t[i - 1];
            break;
        }
    return store->t[last] - store->t[0] + interval;
}

/* The next row. Returns 1, 0 at the end, -1 on a wrong row. */
static int next_row(struct csv_feed *feed, const char **ret_stream, int64_t *ret_t) {
    const struct row_store *store = &feed->store;

    if (!feed->stored) {
        int got = rows_next(&feed->rows);

        *ret_stream = feed->rows.stream;
        *ret_t = feed->rows.t;
        return got;
    }
    if (feed->at == store->n) {
        if (!options.loop || store->n == 0)
            return 0;
        feed->at = 0;
        feed->shift += round_length(store);
    }
    *ret_stream = store->streams ? store->streams[feed->at] : feed->rows.stream;
    *ret_t = store->t[feed->at] + feed->shift;
    feed->at++;
    return 1;
}

static const double *values_of(const struct csv_feed *feed, long copy) {
    if (!feed->stored)
        return feed->rows.values;
    /* at is the row behind this one. */
    size_t row = (feed->at - 1 + (size_t)copy * (size_t)options.offset) % feed->store.n;
    return feed->store.values + row * (size_t)feed->store.n_values;
}

static int send_row(struct csv_feed *feed, const char *stream, int64_t t) {
    if (options.rows.label_column) {
        int code = options.labels_only
                       ? 0
                       : feed_sender_tick(&feed->sender, stream, t, values_of(feed, 0), feed->rows.n_values);

        return code ? code : feed_labels_row(&feed->labels, stream, t, feed->rows.label);
    }
    if (options.copies == 1)
        return feed_sender_tick(&feed->sender, stream, t, values_of(feed, 0), feed->rows.n_values);
    for (long copy = 0; copy < options.copies; copy++) {
        char name[512];

        snprintf(name, sizeof name, "%.400s-%ld", stream, copy);
        int code = feed_sender_tick(&feed->sender, name, t, values_of(feed, copy), feed->rows.n_values);
        if (code)
            return code;
    }
    return 0;
}

/* The row is not sent: those behind it are paced from now on. */
static void begin_pace(struct csv_feed *feed, int64_t t) {
    feed->start = run_monotonic();
    feed->first_t = t;
    feed->paced_n = feed->n + 1;
}

/* Waits until a row is due. Returns false when stopped. */
static bool pace(struct csv_feed *feed, int64_t t) {
    double due;

    if (options.rate > 0)
        due = (double)(feed->n - feed->paced_n) / options.rate;
    else if (options.speed > 0)
        due = ((double)t - (double)feed->first_t) / (double)RUN_NS / options.speed;
    else
        return !run_stopped();
    int64_t deadline = feed->start + (int64_t)(due * (double)RUN_NS);
    if (deadline <= run_monotonic())
        return !run_stopped();
    /* Nothing waits in a bundle while nothing is sent. */
    return feed_sender_flush(&feed->sender) == 0 && run_sleep_until(deadline);
}

static double share_done(const struct csv_feed *feed) {
    if (options.limit)
        return (double)feed->n / (double)options.limit;
    if (feed->stored)
        return options.loop ? -1 : (double)feed->at / (double)feed->store.n;
    return feed->rows.size ? (double)feed->rows.csv.bytes / (double)feed->rows.size : -1;
}

/* Sends all rows. Returns 0, 1 after a failure that was told, or the number that run_send gave. */
static int send_rows(struct csv_feed *feed) {
    const char *stream;
    int64_t t, end = options.seconds > 0 ? run_monotonic() + (int64_t)(options.seconds * (double)RUN_NS) : INT64_MAX;
    int got = 0, code = 0;

    feed->start = run_monotonic();
    while (!run_stopped() && (!options.limit || feed->n < (uint64_t)options.limit) && run_monotonic() < end &&
           (got = next_row(feed, &stream, &t)) == 1) {
        if (feed->n == 0)
            feed->first_t = t;
        else if (t <= feed->last_t)
            feed->late++;
        feed->last_t = t;
        if (feed->sender.skip > 0)
            begin_pace(feed, t);
        else if (!pace(feed, t))
            break;
        code = send_row(feed, stream, t);
        if (code)
            break;
        feed->n++;
        progress_show(&feed->progress, share_done(feed), options.labels_only ? feed->labels.sent : feed->sender.sent);
    }
    progress_end(&feed->progress);
    if (got < 0 && !run_stopped()) { /* a signal ends reading, too */
        fprintf(stderr, "%s: %s\n", feed_command.name, feed->rows.error);
        feed_sender_flush(&feed->sender);
        return 1;
    }
    /* What is acknowledged goes on by count: if it was interrupted, labels have to come where they would have come. */
    bool at_end =
        (got == 0 && !feed->rows.csv.torn && !run_stopped()) || (options.limit && feed->n == (uint64_t)options.limit);

    if (!options.ack || at_end)
        code = code ? code : feed_labels_flush(&feed->labels);
    return code ? code : feed_sender_flush(&feed->sender);
}

/* Whether the chosen columns are what the class takes. Returns 0, or 1 after the sentence. */
static int check_columns(const struct rows *rows, const struct class_answer *class, const char *stream) {
    bool fits = options.by_name || class->n_features == rows->n_values;
    const char *unknown = NULL;

    for (int i = 0; options.by_name && i < rows->n_values && !unknown; i++) {
        bool found = false;

        for (int k = 0; k < class->n_features && !found; k++)
            found = strcmp(rows->names[i], class->features[k]) == 0;
        if (!found)
            unknown = rows->names[i];
    }
    if (fits && !unknown)
        return 0;
    fprintf(stderr, "%s: class \"%s\" of the stream \"%s\" has the features ", feed_command.name, class->name,
            stream);
    for (int i = 0; i < class->n_features; i++)
        fprintf(stderr, "%s%s", i ? ", " : "", class->features[i]);
    if (unknown)
        fprintf(stderr, ", and no \"%s\"; --columns FEATURE=COLUMN names what is sent\n", unknown);
    else
        fprintf(stderr, ", and %d column%s to be sent; --columns chooses\n", rows->n_values,
                rows->n_values == 1 ? " is" : "s are");
    return 1;
}

/* Asks the daemon what it wants of the stream and chooses the columns; *ret_answered: whether it said so. Returns 0,
 * or 1 after the sentence. */
static int choose_columns(struct rows *rows, bool *ret_answered) {
    struct class_answer answer = {.result = CLASS_UNKNOWN};
    char first[512];
    int code = 1;

    snprintf(first, sizeof first, options.copies > 1 ? "%.400s-0" : "%.400s", rows_first_stream(rows));
    if (!options.no_check)
        class_ask(options.control, first, 1000, &answer);
    *ret_answered = answer.result != CLASS_UNKNOWN;
    if (options.columns && strchr(options.columns, '='))
        options.by_name = true;
    if (answer.result == CLASS_NONE)
        fprintf(stderr, "%s: no class of the daemon takes the stream \"%s\"; the patterns of its classes are: %s\n",
                feed_command.name, first, answer.text);
    else if (rows_choose(rows, options.columns, (const char *const *)answer.features, answer.n_features))
        fprintf(stderr, "%s: %s\n", feed_command.name, rows->error);
    else
        code = answer.result == CLASS_FOUND ? check_columns(rows, &answer, first) : 0;
    class_answer_fini(&answer);
    return code;
}

static void tell(const struct csv_feed *feed) {
    if (options.ack)
        return; /* what counts is what was acknowledged */
    double seconds = (double)(run_monotonic() - feed->start) / (double)RUN_NS;

    fprintf(stderr, "%s: sent %llu ticks", feed_command.name, (unsigned long long)feed->sender.sent);
    if (options.rows.label_column)
        fprintf(stderr, " and %llu labels", (unsigned long long)feed->labels.sent);
    fprintf(stderr, " in %.1f s\n", seconds);
    if (feed->late && feed->rows.stream_column < 0 && !options.labels_only)
        fprintf(stderr, "%s: %llu rows were not later than the one before; the daemon does not take such\n",
                feed_command.name, (unsigned long long)feed->late);
}

/* Of a row that is sent as it stands, what it becomes later would never be. Returns whether there is one that is not whole. */
static bool tell_torn(const struct csv *csv) {
    if (csv->torn)
        fprintf(
            stderr,
            "%s: %s:%d: the last row has no newline at its end, so it may not be whole, and is not sent; the same "
            "command goes on with it\n",
            feed_command.name, csv->name, csv->torn);
    return csv->torn != 0;
}

static void tell_refusals(struct refusals *refusals) {
    char text[512];
    long long n = refusals_end(refusals, text, sizeof text);

    if (n > 0)
        fprintf(stderr, "%s: the daemon refused %lld tick%s%s meanwhile: %s; forecast watch --events tells of each\n",
                feed_command.name, n, n == 1 ? "" : "s", options.rows.label_column ? " or labels" : "", text);
}

/* Returns 0, or 1 after the sentence. */
static int open_sender(struct feed_sender *sender, struct feed_acknowledged *acknowledged) {
    char producer[256];

    if (!options.ack)
        return run_open_feed(feed_command.name, options.ticks, options.wait, options.bundle, &sender->feed);
    if (options.producer)
        snprintf(producer, sizeof producer, "%s", options.producer);
    else if (feed_acknowledged_producer(options.host ? "/" : options.rows.path, producer, sizeof producer)) {
        fprintf(stderr, "%s: %s gives no name for the producer; --producer does\n", feed_command.name,
                options.rows.path);
        return 1;
    }
    if (feed_acknowledged_open(acknowledged, options.ticks, producer, options.bundle, options.wait))
        return 1;
    sender->acknowledged = acknowledged;
    /* A machine's metrics are never the same again. */
    sender->skip = options.host ? 0 : acknowledged->before;
    return 0;
}

/* Behind what was sent with the code. Returns 0, or 1 after the sentence. */
static int close_sender(struct feed_sender *sender, int code) {
    if (!sender->acknowledged)
        return run_close_feed(feed_command.name, &sender->feed);
    int unfinished = code && sender->sent == 0 ? code : feed_acknowledged_finish(sender->acknowledged);

    feed_acknowledged_close(sender->acknowledged);
    /* Of a file that was not sent to its end not all is acknowledged. */
    return unfinished || code || (options.rows.path && run_stopped());
}

static int run_csv(void) {
    static struct csv_feed feed;
    struct refusals *refusals = NULL;
    bool answered = true;
    int code = 1;

    if (rows_open(&feed.rows, &options.rows)) {
        fprintf(stderr, "%s: %s\n", feed_command.name, feed.rows.error);
        goto close_rows;
    }
    if (open_sender(&feed.sender, &feed.acknowledged))
        goto close_rows;
    if (!options.labels_only && choose_columns(&feed.rows, &answered))
        goto close_feed;
    feed.stored = options.loop || (options.copies > 1 && options.offset > 0);
    if (feed.stored && row_store_load(&feed.store, &feed.rows)) {
        fprintf(stderr, "%s: %s\n", feed_command.name, feed.rows.error);
        goto close_feed;
    }
    feed.labels =
        (struct feed_labels){.sender = &feed.sender, .after = options.labels_only ? 0 : options.label_after};
    feed.sender.bundle = options.bundle;
    feed.sender.names = options.by_name ? (const char *const *)feed.rows.names : NULL;
    if (answered && !options.ack)
        refusals = refusals_begin(options.control, 1000);
    progress_start(&feed.progress, options.labels_only ? "labels" : "ticks");
    code = send_rows(&feed);
    tell(&feed);
    code = code == 0 || code == FORECAST_ERROR_INTERRUPTED ? 0 : 1;
close_feed:
    if (close_sender(&feed.sender, code))
        code = 1;
    if (tell_torn(&feed.rows.csv))
        code = 1;
    tell_refusals(refusals);
close_rows:
    feed_labels_fini(&feed.labels);
    row_store_fini(&feed.store);
    rows_close(&feed.rows);
    return code;
}

static int run_host(void) {
    struct feed_sender sender = {.bundle = options.bundle};
    static struct feed_acknowledged acknowledged;
    int code;

    if (open_sender(&sender, &acknowledged))
        return 1;
    code = feed_host_run(&sender, options.rate > 0 ? options.rate : 5, options.seconds);
    if (close_sender(&sender, code))
        code = 1;
    return code;
}

int command_feed(int argc, char **argv) {
    const struct option_command *command = &feed_command;
    int first, code = options_begin(command, argc, argv, &first);

    if (code >= 0)
        return code;
    if (first < argc)
        return options_wrong(command, "\"%s\" is too much; a file is named with --csv", argv[first]);
    if (!options.rows.path == !options.host)
        return options_wrong(command, "either --csv FILE or --host is needed");
    if (options.producer && !options.ack)
        return options_wrong(command, "--producer goes with --ack");
    if (options.ack && options.rows.path && strcmp(options.rows.path, "-") == 0 && !options.producer)
        return options_wrong(command, "--ack from standard input needs --producer NAME");
    if (options.host && (options.rows.stream || options.rows.stream_column || options.columns || options.speed > 0 ||
                         options.loop || options.copies > 1 || options.by_name))
        return options_wrong(command,
                             "--host goes with --rate, --for, --bundle, --ticks, --ack, --producer and --wait only");
    if (options.rows.label_column && (options.host || options.loop || options.copies > 1))
        return options_wrong(command, "--label goes with neither --host, --loop nor --copies");
    if (options.labels_only && !options.rows.label_column)
        return options_wrong(command, "--labels-only needs the column with them: --label COL");
    if (options.rate > 0 && options.speed > 0)
        return options_wrong(command, "--rate and --speed exclude each other");
    if (options.bundle && !options.ack && (options.by_name || (options.columns && strchr(options.columns, '='))))
        return options_wrong(command,
                             "bundles have values in order; --bundle and sending by name exclude each other");
    if (options.rows.stream && options.rows.stream_column)
        return options_wrong(command, "--stream and --stream-column exclude each other");
    options.rows.whole = options.ack;
    run_catch_signals();
    return options.host ? run_host() : run_csv();
}
