#include "tests/support/peers.h"
#include "tests/support/bench.h"
#include "tests/support/peak.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PEERS = 8, LINE = 4096 };

static struct peer {
    char name[32];
    pid_t pid; /* 0: is not there */
    FILE *to, *from;
    char lacks[LINE]; /* why it has not the case of the row at hand */
} peers[PEERS];
static int n_peers;
static bool any;

/* What somebody did in the rounds: rates, or p50 and p99. */
struct figures {
    double rates[BENCH_VALUES_MAX], p99[BENCH_VALUES_MAX];
};

/* ---- children ----------------------------------------------------------------------------------- */

static void bind_to_core(void) {
    cpu_set_t cores;
    size_t core = CPU_SETSIZE - 1;
    sched_getaffinity(0, sizeof cores, &cores);
    while (core > 0 && !CPU_ISSET(core, &cores))
        core--;
    if (getenv("CORE") != NULL)
        core = (size_t)atoi(getenv("CORE"));
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    sched_setaffinity(0, sizeof cores, &cores);
    static const char *const threads[] = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
                                          "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++)
        setenv(threads[i], "1", 1);
}

static void start(struct peer *peer, const char *build) {
    int to[2], from[2];
    char program[PATH_MAX], log[PATH_MAX]; /* log: what it says besides its answers */
    snprintf(program, sizeof program, "%s/peers/%s", build, peer->name);
    snprintf(log, sizeof log, "%s/peers/%s.log", build, peer->name);
    if (access(program, X_OK) != 0)
        return;
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        abort();
    peer->pid = fork();
    assert(peer->pid >= 0);
    if (peer->pid == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        dup2(open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666), STDERR_FILENO);
        execl(program, program, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    peer->to = fdopen(to[1], "w");
    peer->from = fdopen(from[0], "r");
    any = true;
}

static void stop(struct peer *peer) {
    if (peer->pid == 0)
        return;
    fclose(peer->to);
    fclose(peer->from);
    waitpid(peer->pid, NULL, 0);
    peer->pid = 0;
}

/* Whether a name is among those in a list with spaces between. */
static bool is_in(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *at = strstr(list, name); at != NULL; at = strstr(at + n, name))
        if ((at == list || at[-1] == ' ') && (at[n] == '\0' || at[n] == ' '))
            return true;
    return false;
}

void peers_start(const char *names) {
    const char *build = getenv("BUILD") != NULL ? getenv("BUILD") : "build";
    const char *asked = getenv("PEERS");
    bind_to_core();
    signal(SIGPIPE, SIG_IGN);
    char *list = strdup(names), *rest = NULL;
    for (char *name = strtok_r(list, " ", &rest); name != NULL; name = strtok_r(NULL, " ", &rest)) {
        struct peer *peer = &peers[n_peers];
        if (asked != NULL && !is_in(asked, name))
            continue;
        assert(n_peers < PEERS);
        n_peers++;
        snprintf(peer->name, sizeof peer->name, "%s", name);
        start(peer, build);
    }
    free(list);
}

void peers_stop(void) {
    for (int i = 0; i < n_peers; i++)
        stop(&peers[i]);
    n_peers = 0;
    any = false;
}

/* Its answer to a line; one that dies is heard no more. */
static bool ask(struct peer *peer, const char *line, char answer[LINE]) {
    if (peer->pid == 0)
        return false;
    fprintf(peer->to, "%s\n", line);
    fflush(peer->to);
    if (fgets(answer, LINE, peer->from) != NULL)
        return true;
    fprintf(stderr, "peer %s ended: its .log says why\n", peer->name);
    stop(peer);
    return false;
}

static bool has_case(struct peer *peer, const char *bench, const char *members) {
    char line[LINE], answer[LINE];
    snprintf(line, sizeof line, "{\"bench\": \"%s\", %s}", bench, members);
    snprintf(peer->lacks, sizeof peer->lacks, "is not here");
    if (!ask(peer, line, answer))
        return false;
    answer[strcspn(answer, "\n")] = '\0';
    snprintf(peer->lacks, sizeof peer->lacks, "%s", answer + (strncmp(answer, "no ", 3) == 0 ? 3 : 0));
    return strcmp(answer, "ok") == 0;
}

const char *peers_ask(const char *name, const char *line) {
    static char answer[LINE];
    for (int p = 0; p < n_peers; p++)
        if (strcmp(peers[p].name, name) == 0 && ask(&peers[p], line, answer))
            return answer;
    return NULL;
}

/* ---- rounds ------------------------------------------------------------------------------------- */

static void own_turn(const struct peers_bench *bench, void *context, double seconds, int round, struct figures *ret) {
    if (bench->unit != NULL) {
        ret->rates[round] = bench_run(bench->work, context, seconds);
        return;
    }
    struct bench_latency took = bench_latency(bench->work, context, seconds);
    ret->rates[round] = took.p50;
    ret->p99[round] = took.p99;
}

static bool peer_turn(struct peer *peer, const struct peers_bench *bench, double seconds, int round,
                      struct figures *ret) {
    char line[64], answer[LINE];
    snprintf(line, sizeof line, "%s %g", bench->unit != NULL ? "run" : "latency", seconds);
    return ask(peer, line, answer) &&
           sscanf(answer, "%lf %lf", &ret->rates[round], &ret->p99[round]) == (bench->unit != NULL ? 1 : 2);
}

/* ---- rows --------------------------------------------------------------------------------------- */

struct row {
    const struct peers_bench *bench;
    const char *members;
    struct figures own, other, of_peers[PEERS];
    double peak[BENCH_VALUES_MAX];
    bool answers[PEERS];
    int rounds;
};

static void run_rounds(struct row *row) {
    const struct peers_bench *bench = row->bench;
    double seconds = bench_setting("ROUND_SECONDS", 0.03);
    row->rounds = (int)bench_setting("ROUNDS", 15);
    assert(row->rounds > 0 && row->rounds <= BENCH_VALUES_MAX);
    for (int p = 0; p < n_peers; p++)
        row->answers[p] = !bench->alone && has_case(&peers[p], bench->bench, row->members);
    for (int round = 0; round < row->rounds; round++) {
        if (bench->flops > 0)
            row->peak[round] = bench_run(peak_flops, NULL, seconds / 4);
        own_turn(bench, bench->context, seconds, round, &row->own);
        if (bench->other != NULL)
            own_turn(bench, bench->other, seconds, round, &row->other);
        for (int p = 0; p < n_peers; p++)
            row->answers[p] = row->answers[p] && peer_turn(&peers[p], bench, seconds, round, &row->of_peers[p]);
    }
}

/* How many times as fast ours is. */
static double ratio_to(const struct row *row, const struct figures *its) {
    const double *own = row->own.rates;
    return row->bench->unit != NULL ? bench_ratio(own, its->rates, row->rounds)
                                    : bench_ratio(its->rates, own, row->rounds);
}

static int best_peer(const struct row *row) {
    int best = -1;
    for (int p = 0; p < n_peers; p++)
        if (row->answers[p] && (best < 0 || ratio_to(row, &row->of_peers[p]) < ratio_to(row, &row->of_peers[best])))
            best = p;
    return best;
}

static void print_figures_json(const struct row *row, const struct figures *figures) {
    if (row->bench->unit != NULL)
        printf("%.0f", bench_median(figures->rates, row->rounds));
    else
        printf("{\"p50_us\": %.3f, \"p99_us\": %.3f}", bench_median(figures->rates, row->rounds),
               bench_median(figures->p99, row->rounds));
}

static void print_json(const struct row *row) {
    const struct peers_bench *bench = row->bench;
    int best = best_peer(row);
    printf("{\"bench\": \"%s\", %s, \"%s\": ", bench->bench, row->members, bench->unit ? bench->unit : "latency");
    print_figures_json(row, &row->own);
    if (bench->flops > 0 && row->peak[0] > 0)
        printf(", \"peak_share\": %.3f", bench_ratio(row->own.rates, row->peak, row->rounds) * bench->flops);
    if (bench->other != NULL) {
        printf(", \"%s\": ", bench->other_name);
        print_figures_json(row, &row->other);
        printf(", \"ratio_to_%s\": %.2f", bench->other_name, ratio_to(row, &row->other));
    }
    if (any && !bench->alone) {
        printf(", \"peers\": {");
        for (int p = 0; p < n_peers; p++) {
            printf("%s\"%s\": ", p > 0 ? ", " : "", peers[p].name);
            if (row->answers[p])
                print_figures_json(row, &row->of_peers[p]);
            else
                printf("null");
        }
        printf("}, \"ratios\": {");
        for (int p = 0, n = 0; p < n_peers; p++)
            if (row->answers[p])
                printf("%s\"%s\": %.2f", n++ > 0 ? ", " : "", peers[p].name, ratio_to(row, &row->of_peers[p]));
        printf("}");
        if (best >= 0)
            printf(", \"best_peer\": \"%s\", \"ratio\": %.2f", peers[best].name, ratio_to(row, &row->of_peers[best]));
    }
    printf("}\n");
}

static void print_figures(const struct row *row, const char *name, const struct figures *figures) {
    printf("%27s", name);
    if (row->bench->unit != NULL)
        printf(" %12.0f %s", bench_median(figures->rates, row->rounds), row->bench->unit);
    else
        printf(" %9.2f us p50 %9.2f us p99", bench_median(figures->rates, row->rounds),
               bench_median(figures->p99, row->rounds));
    if (figures != &row->own)
        printf(", ratio %.2f", ratio_to(row, figures));
    else if (row->bench->flops > 0 && row->peak[0] > 0)
        printf(", %.0f %% of the peak",
               100 * bench_ratio(row->own.rates, row->peak, row->rounds) * row->bench->flops);
    printf("\n");
}

static void print_table(const struct row *row) {
    const struct peers_bench *bench = row->bench;
    char text[LINE];
    snprintf(text, sizeof text, "%s", row->members);
    for (char *at = text; *at != '\0'; at++)
        if (strchr("\":,", *at) != NULL)
            *at = ' ';
    printf("%-12s %s\n", bench->bench, text);
    print_figures(row, "forecastd", &row->own);
    if (bench->other != NULL)
        print_figures(row, bench->other_name, &row->other);
    for (int p = 0; any && !bench->alone && p < n_peers; p++) {
        if (row->answers[p])
            print_figures(row, peers[p].name, &row->of_peers[p]);
        else
            printf("%27s %s\n", peers[p].name, peers[p].lacks);
    }
}

void peers_row(const struct peers_bench *bench, const char *members, ...) {
    static struct row row;
    char text[LINE];
    va_list args;
    if (getenv("ROWS") != NULL && !is_in(getenv("ROWS"), bench->bench))
        return;
    va_start(args, members);
    vsnprintf(text, sizeof text, members, args);
    va_end(args);
    row = (struct row){.bench = bench, .members = text};
    run_rounds(&row);
    if (bench_as_json())
        print_json(&row);
    else
        print_table(&row);
    fflush(stdout);
}

/* ---- a peer in C -------------------------------------------------------------------------------- */

void peers_serve(const char *(*make_case)(const char *line, struct bench_work *ret_work)) {
    char line[LINE];
    struct bench_work work = {NULL, NULL};
    double seconds;
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "run %lf", &seconds) == 1) {
            printf("%.9g\n", bench_run(work.work, work.context, seconds));
        } else if (sscanf(line, "latency %lf", &seconds) == 1) {
            struct bench_latency took = bench_latency(work.work, work.context, seconds);
            printf("%.6f %.6f\n", took.p50, took.p99);
        } else {
            const char *why = make_case(line, &work);
            printf("%s%s\n", why != NULL ? "no " : "ok", why != NULL ? why : "");
        }
        fflush(stdout);
    }
}
