/*
 * The machine crashes at every sync point of a whole daemon's life: acknowledged ticks come, images are written in
 * rounds, streams leave memory and come back, a version is trained, promoted and taken back. A daemon that is started on
 * what is left has every tick that was acknowledged, once; it has one champion, and what it forecasts is bit for bit what
 * the one that was never stopped did.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/fault/disk.h"
#include "tests/fault/fault.h"
#include "tests/fault/load.h"
#include "tests/support/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows. In some the streams of class t are quiet, and a version takes over meanwhile: then the step at which it does so
 * is known, and who finds that it was not decided yet decides it once more. One that takes over while they tick does so
 * at steps that may be others after a crash, until all have told. */
enum { TRAIN = 50, STILL = 90, BACK = 140, TRAIN_MORE = 170, FLOW = 210, SETTLED = 225, ROWS = 250 };
enum {
    WHOLE_ROUND = 3,
    STILL_ROWS = 12,
    DECIDE_AFTER = 4,
    GO_ON_ROWS = 5 /* all streams tick in so many */,
    WAIT_MS = 60000
};

/* Who serves from the end of the quiet rows on, and by which command. */
static const struct decision {
    int row, version;
    const char *command;
} decisions[] = {{STILL, 1, "promote"}, {BACK, 2, "rollback"}};
enum { N_DECISIONS = sizeof decisions / sizeof *decisions };

static bool is_quiet(int stream, int row) {
    bool still = false;
    for (int d = 0; d < N_DECISIONS; d++)
        still |= row >= decisions[d].row && row < decisions[d].row + STILL_ROWS;
    return (still && *load_class(stream) == 't') || load_pauses(stream, row);
}

/* ---- a daemon and who feeds it --------------------------------------------------------------- */

static struct fault fault;
static char which[160]; /* crash is looked at */

struct side {
    char acknowledged[160];
    struct daemon *daemon;
    struct heard *heard;
    struct sender sender;
};

static void side_new(struct side *side, const char *name, const char *state_dir) {
    char rest[4096], bus[256];
    *side = (struct side){0};
    snprintf(side->acknowledged, sizeof side->acknowledged, "ipc://%s/%s", fault.folder, name);
    snprintf(bus, sizeof bus, "  acknowledged: %s\n", side->acknowledged);
    snprintf(rest, sizeof rest, "state_dir: %s\nsync_every: 5ms\nsnapshot_every: 300ms\n%s", state_dir,
             load_config(5));
    side->daemon = daemon_new(&(struct daemon_setup){.bus = bus, .rest = rest});
}

static void side_start(struct side *side) {
    int status;
    if (!daemon_try_start(side->daemon, &status))
        fail_msg("the daemon ended with %d: %s", status, daemon_output(side->daemon));
    side->heard = heard_new(side->daemon, "forecast/", 9, 1);
    sender_open(&side->sender, side->acknowledged, load_tick);
    for (int64_t until = scenario_now() + WAIT_MS; !side->sender.known; assert_true(scenario_now() < until))
        sender_go(&side->sender, 0, 5);
}

static void side_kill(struct side *side) {
    sender_close(&side->sender);
    daemon_signal(side->daemon, SIGKILL);
    assert_int_equal(daemon_wait(side->daemon), 128 + SIGKILL);
    daemon_close(side->daemon, side->heard->socket);
}

/* ---- the life that is crashed ---------------------------------------------------------------- */

static void feed(struct side *side, uint64_t up_to, void (*acknowledged)(const struct side *side)) {
    int64_t until = scenario_now() + WAIT_MS;
    for (uint64_t before = side->sender.durable; before < up_to; before = side->sender.durable) {
        if (scenario_now() > until)
            fail_msg("%d ticks are durable, not %d: %s", (int)before, (int)up_to, daemon_output(side->daemon));
        sender_go(&side->sender, up_to, 5);
        if (acknowledged != NULL && side->sender.durable > before)
            acknowledged(side);
        heard_rest(side->heard, 0);
    }
}

static void note_durable(const struct side *side) {
    fault_note_beside(&fault, "durable %d", (int)side->sender.durable);
}

/* Row after row, each acknowledged, up to one. From one number that is noted to the next there is a whole round. */
static void feed_rows(struct side *side, int to) {
    static int64_t rounds;
    static int noted;
    int row = side->sender.durable > 0 ? load_row_of(side->sender.durable) + 1 : 0;
    for (; row < to; row++) {
        feed(side, load_before_row(row + 1), note_durable);
        int64_t now = daemon_count(side->daemon, "store.rounds");
        if (now != rounds)
            fault_note_beside(&fault, "round %d", ++noted);
        rounds = now;
    }
}

/* Until all that was taken in is done with, takeovers too: a state is told behind both. */
static void settle(struct side *side) {
    for (int s = LOAD_S; s < LOAD_S + LOAD_T; s++) {
        char request[128], name[16];
        snprintf(request, sizeof request, "{\"cmd\":\"state\",\"stream\":\"%s\",\"model\":\"t\"}",
                 load_name(s, name));
        json_decref(daemon_ask(side->daemon, request)); /* a stream on disk, or without a network, has none to tell */
    }
}

/* Returns who serves then. */
static int decide(struct side *side, const char *how) {
    int64_t until = scenario_now() + WAIT_MS, before = daemon_model_count(side->daemon, "t", "version"), version;
    daemon_command(side->daemon, "{\"cmd\":\"%s\",\"model\":\"t\"}", how);
    while ((version = daemon_model_count(side->daemon, "t", "version")) == before) {
        assert_true(scenario_now() < until);
        scenario_sleep(1);
    }
    return (int)version;
}

/* A challenger is trained while ticks come, and waits, on disk too, for the command. */
static void train(struct side *side, int version, int rows) {
    char path[256], text[4096] = "", wanted[32];
    snprintf(path, sizeof path, "%s/state/versions/t/champion", fault.root);
    snprintf(wanted, sizeof wanted, "\"challenger\":%d", version);
    daemon_command(side->daemon, "{\"cmd\":\"retrain\",\"model\":\"t\"}");
    feed_rows(side, rows);
    for (int64_t until = scenario_now() + WAIT_MS; memmem(text, sizeof text, wanted, strlen(wanted)) == NULL;) {
        if (scenario_now() > until)
            fail_msg("no challenger: %s", daemon_output(side->daemon));
        scenario_sleep(5);
        FILE *file = fopen(path, "re");
        if (file == NULL)
            continue;
        size_t n = fread(text, 1, sizeof text, file);
        memset(text + n, 0, sizeof text - n);
        fclose(file);
    }
}

static void decide_noted(struct side *side, const char *how, int version) {
    fault_note_beside(&fault, "deciding %d", version);
    assert_int_equal(decide(side, how), version);
    fault_note_beside(&fault, "champion %d", version);
}

static void decide_still(struct side *side, const struct decision *decision) {
    feed_rows(side, decision->row + DECIDE_AFTER);
    decide_noted(side, decision->command, decision->version);
    feed_rows(side, decision->row + STILL_ROWS);
    settle(side);
}

static void live(struct side *side) {
    fault_begin(&fault, true);
    side_start(side);
    fault_end();
    feed_rows(side, TRAIN);
    train(side, 1, STILL);
    decide_still(side, &decisions[0]);
    feed_rows(side, BACK);
    decide_still(side, &decisions[1]);
    feed_rows(side, TRAIN_MORE);
    train(side, 3, FLOW);
    decide_noted(side, "promote", 3);
    feed_rows(side, SETTLED);
    settle(side);
    feed_rows(side, SETTLED + 1); /* what was told before these is durable */
    fault_note_beside(&fault, "settled 1");
    feed_rows(side, ROWS);
    settle(side);
    heard_rest(side->heard, 300);
    print_message("%d rounds, %d times a stream has left memory\n", (int)daemon_count(side->daemon, "store.rounds"),
                  (int)daemon_count(side->daemon, "kept.evicted"));
    assert_true(daemon_count(side->daemon, "store.rounds") > 4);
    assert_true(daemon_count(side->daemon, "kept.evicted") > 20);
    for (int s = 0; s < LOAD_STREAMS; s++) {
        char name[16];
        const struct heard_stream *stream = heard_find(side->heard, load_class(s), load_name(s, name));
        assert_true(stream != NULL && stream->n == load_steps(s, load_before_row(ROWS)));
    }
    side_kill(side);
}

/* ---- what is left ---------------------------------------------------------------------------- */

struct looking {
    struct side whole, side; /* the one that was never stopped, and the one at hand */
    struct told {
        uint64_t durable;
        int champion, deciding, settled, round;
    } told; /* when the machine crashed */
    int more, newer, decided;
    size_t compared;
};

static void mark(void *context, const char *text) {
    struct told *told = &((struct looking *)context)->told;
    assert_true(sscanf(text, "durable %lu", &told->durable) == 1 ||
                sscanf(text, "champion %d", &told->champion) == 1 ||
                sscanf(text, "deciding %d", &told->deciding) == 1 ||
                sscanf(text, "settled %d", &told->settled) == 1 || sscanf(text, "round %d", &told->round) == 1);
}

/* Decides what was decided in the quiet rows that the ticks have come into, where that is not to be found. Returns whether
 * versions have the numbers that they had: one of which the file is left is not numbered so again. */
static bool decide_again(struct looking *looking, int champion) {
    struct side *side = &looking->side;
    for (int d = 0; d < N_DECISIONS; d++) {
        const struct decision *decision = &decisions[d];
        uint64_t from = load_before_row(decision->row), to = load_before_row(decision->row + STILL_ROWS);
        if (side->sender.durable <= from || side->sender.durable > to || champion >= decision->version)
            continue;
        int version = decide(side, decision->command);
        settle(side);
        looking->decided++;
        return version == decision->version;
    }
    return true;
}

/* Until the last forecast of every stream that ticked is there. */
static void hear_all(struct side *side, uint64_t from, uint64_t to) {
    int64_t until = scenario_now() + WAIT_MS;
    for (int s = 0; s < LOAD_STREAMS; s++) {
        char name[16];
        const struct heard_stream *heard;
        uint64_t steps = load_steps(s, to);
        if (steps == load_steps(s, from))
            continue;
        load_name(s, name);
        while ((heard = heard_find(side->heard, load_class(s), name)) == NULL || heard->n == 0 ||
               heard_at(heard, heard->n - 1)->step < steps)
            if (!heard_next(side->heard, 20) && scenario_now() > until)
                fail_msg("%s does not come to step %d: %s", name, (int)steps, daemon_output(side->daemon));
        assert_int_equal(heard_at(heard, heard->n - 1)->step, steps);
    }
}

/* All that was heard is what the other said. */
static void compare(struct looking *looking, uint64_t to, bool numbered) {
    for (struct heard_stream *heard = looking->side.heard->streams; heard != NULL; heard = heard->hh.next) {
        bool unsettled = to > load_before_row(FLOW) && !looking->told.settled;
        /* Before anything was acknowledged the first versions of all may have had to be numbered once more. */
        bool begun = looking->told.durable > 0;
        char model[16], name[16];
        assert_int_equal(sscanf(heard->key, "%15[^/]/%15s", model, name), 2);
        for (size_t i = 0; i < heard->n; i++)
            load_compare(heard, i, heard_find(looking->whole.heard, model, name),
                         !begun || (*model == 't' && (unsettled || !numbered)));
        looking->compared += heard->n;
    }
}

static void look(void *context, const char *crash) {
    struct looking *looking = context;
    struct side *side = &looking->side;
    const struct told *told = &looking->told;
    snprintf(which, sizeof which, "%s: tick %d, champion %d", crash, (int)told->durable, told->champion);
    side_start(side);
    side->heard->any_gaps = true;
    uint64_t durable = side->sender.durable;
    int champion = (int)daemon_model_count(side->daemon, "t", "version");
    if (durable < told->durable)
        fail_msg("%d ticks were acknowledged, %d are there", (int)told->durable, (int)durable);
    if (champion != told->champion && champion != told->deciding)
        fail_msg("version %d was told to serve, version %d does", told->champion, champion);
    bool numbered = decide_again(looking, champion);
    int row = (durable > 0 ? load_row_of(durable) : 0) + GO_ON_ROWS;
    uint64_t to = load_before_row(row < ROWS ? row : ROWS);
    feed(side, to, NULL);
    hear_all(side, durable, to);
    compare(looking, to, numbered);
    looking->more += durable > told->durable;
    looking->newer += champion > told->champion;
    side_kill(side);
    heard_free(side->heard);
    which[0] = '\0';
}

static int torn(void *context, size_t sync) {
    const struct looking *looking = context;
    const struct told *told = &looking->told;
    bool promotion = told->deciding > told->champion ||
                     (told->deciding == 1 && told->durable <= load_before_row(STILL + STILL_ROWS));
    if (getenv("FAULT_LONG") != NULL)
        return 2;
    return promotion || told->round == WHOLE_ROUND || sync % 60 == 0 ? 1 : -1;
}

static void test_crashes(void **state) {
    (void)state;
    static struct looking looking;
    struct side *whole = &looking.whole;
    char path[300];
    load_make(ROWS, is_quiet);
    snprintf(path, sizeof path, "%s/state", fault.root);
    side_new(whole, "whole", path);
    live(whole);
    snprintf(path, sizeof path, "%s/state", fault.left);
    side_new(&looking.side, "again", path);
    int crashes = disk_crash_all(&(struct disk_crashes){
        .log = fault.log, .folder = fault.left, .torn = torn, .mark = mark, .look = look, .context = &looking});
    print_message(
        "%d crashes: %d left more than was promised, %d a newer champion; %d decisions were made once more, %zu "
        "forecasts compared\n",
        crashes, looking.more, looking.newer, looking.decided, looking.compared);
    assert_true(looking.more > 0 && looking.decided > 0);
    heard_free(whole->heard);
    daemon_free(&whole->daemon);
    daemon_free(&looking.side.daemon);
}

static int tear_down(void **state) {
    if (which[0] != '\0')
        print_message("%s\n", which);
    load_free();
    return fault_tear_down(state);
}

int main(void) {
    scenario_begin(getenv("FAULT_LONG") != NULL ? 3000 : 280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(test_crashes, fault_set_up, tear_down, &fault),
    };
    return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
