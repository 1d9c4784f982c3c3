#include "clients/forecast/live.h"

#include "clients/forecast/run.h"
#include "clients/forecast/table.h"
#include "clients/forecast/view.h"

#include <curses.h>
#include <jansson.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_MODELS = 64,
    FRAME_MS = 200, /* between drawings: enough to be live, little enough for ssh */
};

enum { PAIR_GOOD = 1, PAIR_BAD, PAIR_FORECAST };

struct live {
    struct view_table table;
    struct forecast_subscription *subscription;
    struct forecast_control *control; /* NULL: could not be opened */
    bool asked;                       /* models, and no answer yet */
    int64_t ask_next;                 /* ns, monotonic */
    int64_t answered;                 /* when the last answer came; 0: never */
    char models[MAX_MODELS][256];
    int n_models;
    size_t top; /* first row shown */
    bool utf8, quit;
    uint64_t counted; /* forecasts at the last count */
    int64_t counted_at;
    double rate;    /* forecasts a second */
    uint64_t wrong; /* messages that were none, */
    char why[256];  /* and what was wrong with the latest one */
};

/* ---- models, asked over control ----------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static void take_models(struct live *live, const char *text) {
    json_t *reply = json_loads(text, 0, NULL), *model;
    size_t i;

    live->n_models = 0;
    json_array_foreach(json_object_get(reply, "models"), i, model) {
        if (live->n_models == MAX_MODELS)
            break;
        const json_t *epochs = json_object_get(model, "epochs");
        char training[64];

        snprintf(training, sizeof training, "%s", text_of(model, "training"));
        if (epochs)
            snprintf(training, sizeof training, "%.30s epoch %d of %d", text_of(model, "training"),
                     (int)json_integer_value(json_object_get(model, "epoch")), (int)json_integer_value(epochs));
        view_model_line(text_of(model, "model"), json_integer_value(json_object_get(model, "version")),
                        text_of(model, "source"), training, text_of(model, "reason"), live->models[live->n_models],
                        sizeof live->models[0]);
        live->n_models++;
    }
    json_decref(reply);
}

/* Sends the question every two seconds and takes the answer when it is there; never waits. */
static void ask_models(struct live *live) {
    int64_t now = run_monotonic();
    const char *reply;

    if (!live->control)
        return;
    if (live->asked) {
        int code = forecast_control_receive(live->control, 0, &reply);

        if (code == FORECAST_OK) {
            take_models(live, reply);
            live->answered = now;
        }
        live->asked = code == FORECAST_ERROR_TIMEOUT || code == FORECAST_ERROR_INTERRUPTED;
    }
    if (now >= live->ask_next) {
        live->ask_next = now + 2 * RUN_NS;
        live->asked = forecast_control_send(live->control, "{\"cmd\":\"models\"}") == FORECAST_OK;
    }
}

/* ---- drawing ------------------------------------------------------------------------------ */

static void put(int y, int x, const char *text, int width, bool right) {
    int taken;

    if (width <= 0 || x >= COLS)
        return;
    size_t n = text_fit(text, width, &taken);
    bool cut = text[n] != '\0';
    if (cut)
        n = text_fit(text, width - 1, &taken);
    mvaddnstr(y, x + (right && !cut ? width - taken : 0), text, (int)n);
    if (cut)
        addch('~');
}

enum { RANGE = 18 }; /* columns of an interval, where there is room */

/* Where the columns stand, for this width of the terminal. */
struct layout {
    int name, now, recent, next, end, range, source, error; /* widths */
};

static struct layout lay_out(const struct live *live) {
    struct layout l = {.name = 12, .now = 8, .recent = 14, .next = 8, .end = 8, .range = 0, .source = 15, .error = 5};
    int longest = 0, spare;

    for (size_t i = 0; i < live->table.n; i++) {
        const struct view_row *row = live->table.rows[i];
        int width = text_width(row->stream) + 1 + text_width(row->target);

        longest = width > longest ? width : longest;
    }
    spare = COLS - 6 - (l.name + l.now + l.recent + l.next + l.end + l.source + l.error);
    int wish = longest - l.name, most = spare < 12 ? spare : 12 + (spare - 12) / 3;
    int name = wish < most ? wish : most;
    if (name > 0) {
        l.name += name;
        spare -= name;
    }
    if (spare > RANGE) {
        l.range = RANGE;
        spare -= RANGE + 1;
    }
    if (spare > 0) {
        l.next += spare / 3;
        l.recent += spare - spare / 3;
    }
    if (l.recent > VIEW_RECENT)
        l.recent = VIEW_RECENT;
    if (l.next > VIEW_PATH)
        l.next = VIEW_PATH;
    return l;
}

static void draw_names(int y, const struct layout *l) {
    int x = 0;

    attron(A_REVERSE);
    mvhline(y, 0, ' ', COLS);
    put(y, x, "STREAM, TARGET", l->name, false);
    put(y, x += l->name + 1, "NOW", l->now, true);
    put(y, x += l->now + 1, "RECENT", l->recent, false);
    put(y, x += l->recent + 1, "FORECAST", l->next, false);
    put(y, x += l->next + 1, "AT END", l->end, true);
    x += l->end + 1;
    put(y, x, "INTERVAL", l->range, false);
    x += l->range > 0 ? l->range + 1 : 0;
    put(y, x, "SOURCE", l->source, false);
    put(y, x += l->source + 1, "ERROR", l->error, true);
    attroff(A_REVERSE);
}

static void draw_error(int y, int x, int width, double ratio) {
    char text[16];
    int look = ratio < 0.995 ? COLOR_PAIR(PAIR_GOOD) : ratio > 1.005 ? COLOR_PAIR(PAIR_BAD) : A_NORMAL;

    if (isnan(ratio))
        snprintf(text, sizeof text, "-");
    else
        snprintf(text, sizeof text, ratio < 99.5 ? "%.2f" : "%.0f", fmin(ratio, 9999));
    attron(look);
    put(y, x, text, width, true);
    attroff(look);
}

static void draw_row(const struct live *live, int y, const struct layout *l, const struct view_row *row) {
    char text[3 * VIEW_RECENT + 1];
    double low = 0, high = 0, path[VIEW_PATH];
    bool range = view_row_range(row, l->recent, &low, &high);
    int x = 0, stream = text_width(row->stream), n;

    attron(A_BOLD);
    put(y, x, row->stream, l->name, false);
    attroff(A_BOLD);
    put(y, stream + 1, row->target, l->name - stream - 1, false);
    put(y, x += l->name + 1,
        run_format_number(row->n_recent ? row->recent[row->n_recent - 1] : NAN, text, sizeof text), l->now, true);
    x += l->now + 1;
    if (range) {
        n = view_sparkline(row->recent, row->n_recent, l->recent, low, high, live->utf8, text, sizeof text);
        mvaddstr(y, x + l->recent - n, text); /* ends where the forecast begins */
    }
    x += l->recent + 1;
    n = view_resample(row->path, row->n_path, l->next, path);
    if (range && n) {
        view_sparkline(path, n, l->next, low, high, live->utf8, text, sizeof text);
        attron(COLOR_PAIR(PAIR_FORECAST));
        mvaddstr(y, x, text);
        attroff(COLOR_PAIR(PAIR_FORECAST));
    }
    put(y, x += l->next + 1, run_format_number(row->n_path ? row->path[row->n_path - 1] : NAN, text, sizeof text),
        l->end, true);
    x += l->end + 1;
    if (!isnan(row->lower) && !isnan(row->upper)) {
        char lower[16], upper[16];
        snprintf(text, sizeof text, "%s to %s", run_format_number(row->lower, lower, sizeof lower),
                 run_format_number(row->upper, upper, sizeof upper));
        put(y, x, text, l->range, false);
    }
    x += l->range > 0 ? l->range + 1 : 0;
    put(y, x, row->source, l->source, false);
    draw_error(y, x + l->source + 1, l->error, row->ratio);
}

/* Draws text from line y on, broken between words, the second and later lines indented; at most most lines.
 * Returns the line behind it. */
static int put_wrapped(int y, const char *text, int most) {
    for (int i = 0; i < most && *text; i++) {
        int indent = i ? 4 : 0, taken;
        size_t n = text_fit(text, COLS - indent, &taken), word = n;

        if (text[n] == '\0' || i == most - 1) {
            put(y++, indent, text, COLS - indent, false);
            break;
        }
        while (word > 0 && text[word] != ' ')
            word--;
        if (word)
            n = word;
        mvaddnstr(y++, indent, text, (int)n);
        text += n + strspn(text + n, " ");
    }
    return y;
}

/* What the models do: each on a line, or on more where there is room. */
static int draw_models(const struct live *live, int y) {
    char text[64];
    int most = LINES > 12 ? (LINES - 6) / 2 : 3, n = live->n_models;

    if (n > most)
        n = most - 1;
    for (int i = 0; i < n; i++)
        y = put_wrapped(y, live->models[i], n ? most / n : 1);
    if (n < live->n_models) {
        snprintf(text, sizeof text, "and %d models more: forecast ctl models", live->n_models - n);
        put(y++, 0, text, COLS, false);
    }
    return y;
}

/* The lines above the table. Returns how many. */
static int draw_head(struct live *live) {
    char text[256];
    time_t seconds = (time_t)(run_wall() / RUN_NS);
    struct tm parts;
    int y = 1;

    localtime_r(&seconds, &parts);
    snprintf(text, sizeof text, "forecastd  %02d:%02d:%02d  %zu stream%s, %.0f forecasts a second%s", parts.tm_hour,
             parts.tm_min, parts.tm_sec, live->table.n, live->table.n == 1 ? "" : "s", live->rate,
             live->table.left_out ? ", more streams than this shows" : "");
    attron(A_BOLD);
    put(0, 0, text, COLS, false);
    attroff(A_BOLD);
    put(0, COLS - 22, "arrows scroll, q quits", COLS - text_width(text) > 23 ? 22 : 0, false);
    if (live->wrong) {
        snprintf(text, sizeof text, "%llu messages were not of the protocol: %.160s", (unsigned long long)live->wrong,
                 live->why);
        put(y++, 0, text, COLS, false);
    }
    if (!live->answered || run_monotonic() - live->answered > 6 * RUN_NS) {
        put(y++, 0,
            live->answered ? "the daemon does not answer any more; what is below is old"
                           : "models: waiting for the daemon's answer",
            COLS, false);
    }
    return draw_models(live, y);
}

static void draw(struct live *live) {
    int64_t now = run_monotonic();
    struct layout layout = lay_out(live);

    if (now - live->counted_at >= RUN_NS) {
        live->rate =
            (double)(live->table.forecasts - live->counted) * (double)RUN_NS / (double)(now - live->counted_at);
        live->counted = live->table.forecasts;
        live->counted_at = now;
    }
    erase();
    int y = draw_head(live);
    draw_names(y++, &layout);
    size_t room = LINES - 1 > y ? (size_t)(LINES - 1 - y) : 0;
    if (live->top + room > live->table.n)
        live->top = live->table.n > room ? live->table.n - room : 0;
    for (size_t i = 0; i < room && live->top + i < live->table.n; i++)
        draw_row(live, y + (int)i, &layout, live->table.rows[live->top + i]);
    if (live->table.n == 0)
        put(y, 0, "no forecast yet", COLS, false);
    attron(A_DIM);
    if (live->table.n > room) {
        char text[128];

        snprintf(text, sizeof text, "streams %zu to %zu of %zu; error: below 1 is better than the last value",
                 live->top + 1, live->top + room, live->table.n);
        put(LINES - 1, 0, text, COLS, false);
    } else {
        put(LINES - 1, 0, "error: that of what is served by that of the last value; below 1 is better", COLS, false);
    }
    attroff(A_DIM);
    refresh();
}

/* ---- the loop ----------------------------------------------------------------------------- */

static void take_keys(struct live *live) {
    size_t page = LINES > 8 ? (size_t)(LINES - 8) : 1;
    int key;

    while ((key = getch()) != ERR) {
        if (key == 'q' || key == 'Q')
            live->quit = true;
        else if (key == KEY_DOWN || key == 'j')
            live->top++;
        else if (key == KEY_NPAGE || key == ' ')
            live->top += page;
        else if (key == KEY_UP || key == 'k')
            live->top -= live->top > 0;
        else if (key == KEY_PPAGE)
            live->top -= live->top < page ? live->top : page;
        else if (key == KEY_HOME)
            live->top = 0;
        else if (key == KEY_END)
            live->top = live->table.n;
        /* KEY_RESIZE needs nothing: LINES and COLS are new, and the next drawing goes by them. */
    }
}

/* Takes what comes until the next drawing is due. */
static void take_forecasts(struct live *live, int64_t until) {
    struct forecast_message message;

    for (int64_t now; (now = run_monotonic()) < until && !run_stopped();) {
        int code = forecast_subscription_next(live->subscription, (int)((until - now) / 1000000) + 1, &message);

        if (code == FORECAST_OK && message.forecast)
            view_table_take(&live->table, message.forecast);
        else if (code == FORECAST_ERROR_INTERRUPTED)
            return; /* perhaps a resize: draw at once */
        else if (code < 0 && code != FORECAST_ERROR_TIMEOUT) {
            live->wrong++;
            snprintf(live->why, sizeof live->why, "%s", forecast_error_text());
        }
    }
}

static SCREEN *open_screen(struct live *live) {
    const char *codeset = nl_langinfo(CODESET);

    /* Without a locale (a bare machine, ssh) terminals still show UTF-8; in another one they do not. */
    if (strcmp(codeset, "ANSI_X3.4-1968") == 0 && setlocale(LC_CTYPE, "C.UTF-8"))
        codeset = nl_langinfo(CODESET);
    live->utf8 = strcmp(codeset, "UTF-8") == 0;
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (!screen)
        return NULL;
    set_escdelay(25);
    cbreak();
    noecho();
    nonl();
    curs_set(0);
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    if (has_colors()) {
        start_color();
        use_default_colors();
        init_pair(PAIR_GOOD, COLOR_GREEN, -1);
        init_pair(PAIR_BAD, COLOR_RED, -1);
        init_pair(PAIR_FORECAST, COLOR_CYAN, -1);
    }
    return screen;
}

int live_run(const char *command, struct forecast_subscription *subscription, const char *control, const char *target,
             double seconds) {
    struct live *live = calloc(1, sizeof *live);
    int64_t end = seconds > 0 ? run_monotonic() + (int64_t)(seconds * (double)RUN_NS) : INT64_MAX;

    if (!live || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        fprintf(stderr, "%s: --live needs a terminal; without it, forecasts come as lines\n", command);
        free(live);
        return 2;
    }
    live->subscription = subscription;
    live->table.target = target;
    SCREEN *screen = open_screen(live);
    if (!screen) {
        const char *term = getenv("TERM");

        fprintf(stderr, "%s: --live cannot use this terminal (TERM=%s)\n", command, term ? term : "");
        free(live);
        return 2;
    }
    if (forecast_control_open(control, &live->control))
        live->control = NULL;
    while (!live->quit && !run_stopped() && run_monotonic() < end) {
        ask_models(live);
        draw(live);
        take_forecasts(live, run_monotonic() + FRAME_MS * 1000000LL);
        take_keys(live);
    }
    endwin();
    delscreen(screen);
    forecast_control_close(&live->control);
    view_table_fini(&live->table);
    free(live);
    return 0;
}
