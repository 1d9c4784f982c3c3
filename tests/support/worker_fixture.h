/*
 * A real worker's thread, driven through its rings by a test that is its bus: it makes streams, gives records and
 * takes what comes out.
 */
#ifndef TESTS_SUPPORT_WORKER_FIXTURE_H
#define TESTS_SUPPORT_WORKER_FIXTURE_H

#include "daemon/records.h"
#include "tests/support/bus_fixture.h"

/* Class "c": two models, "m" in batches of 2, "o" in batches of 3; class "e" has steps of a microsecond, and model
 * "x"; class "g" begins anew behind gaps of more than a microsecond, and has model "g"; class "l" has such steps too,
 * and model "l", of an event of three classes; class "t" has steps of a microsecond, which are sums, and fills gaps,
 * and has model "t". */
enum { CLASS_C, CLASS_E, CLASS_G, CLASS_L, CLASS_T };
enum { MODEL_M, MODEL_X, MODEL_O, MODEL_G, MODEL_L, MODEL_T };

struct worker_scene {
    struct rig rig;
    struct worker *worker;
    struct wire_arena arena;
    uint64_t number; /* of ticks sent */
};

void worker_scene_open(struct worker_scene *scene, const char *bus);
void worker_scene_close(struct worker_scene *scene);
/* Stops and joins the worker, which has been told to, and has said that it stopped; then as worker_scene_close. */
void worker_scene_close_stopped(struct worker_scene *scene);

/* Puts a record into the worker's ring. */
void worker_give(struct worker_scene *scene, const void *record, size_t n);

/* Makes a stream, and opens it. */
struct stream *worker_begin(struct worker_scene *scene, int class, const char *name);
/* Streams "c/0" and so on of class "c", with so many steps at times 1, 2, ... */
void worker_begin_many(struct worker_scene *scene, struct stream **ret_streams, int n, int steps);
void worker_command(struct worker_scene *scene, enum record_kind kind, struct stream *stream);

/* A tick at a time whose values are worker_value(t, feature). */
double worker_value(int64_t t, int feature);
void worker_tick(struct worker_scene *scene, struct stream *stream, int64_t t);

/* A new version of a model, as learning hands it out: with weights of its number. */
void worker_promote(struct worker_scene *scene, int model, uint64_t number);

/* A version with weights of its number, in the shadow of what serves. */
void worker_shadow(struct worker_scene *scene, int model, uint64_t number, uint64_t trial);

/* The next record from the worker, of that kind; it stays until worker_consume. */
const void *worker_wait_for(struct worker_scene *scene, enum record_kind kind);
void worker_consume(struct worker_scene *scene);
/* The next record is a forecast: its numbers live until the next one, its texts are gone. */
struct wire_forecast worker_next_forecast(struct worker_scene *scene);

struct worker_counters worker_counters_of(const struct worker_scene *scene);

#endif
