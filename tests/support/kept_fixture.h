/* The rig of the bus with a store in a folder of its own: streams leave memory, and come back. */
#ifndef TESTS_SUPPORT_KEPT_FIXTURE_H
#define TESTS_SUPPORT_KEPT_FIXTURE_H

#include "tests/support/store_fixture.h"

struct kept_scene {
    struct rig rig;
    void *dealer, *push; /* to control (where it learns) and ticks */
    char folder[256];
    int64_t t; /* of the latest tick */
};

/* Further lines of the configuration (or NULL), beside RIG_CLASS and RIG_MODEL: at its top, of the class, models, of the bus. */
struct kept_setup {
    const char *top, *of_class, *models, *bus;
    bool learns; /* as a rig's */
};

void kept_scene_open(struct kept_scene *scene, const struct kept_setup *setup);
/* Stops it, and starts another one on the same folder. */
void kept_scene_restart(struct kept_scene *scene, const struct kept_setup *setup);
/* Stops it, and removes the folder. */
void kept_scene_close(struct kept_scene *scene);
/* For tests whose disk fails. */
int kept_scene_teardown(void **state);

/* Sends the stream's next tick, a nanosecond behind the latest one of all, and takes turns until it has been read. */
void kept_scene_tick(struct kept_scene *scene, const char *name);
/* NULL: it is not in memory. */
struct stream *kept_scene_find(const struct kept_scene *scene, const char *name);
/* Takes turns until it is; until its worker has let go of it, and nobody wants it. */
struct stream *kept_scene_await(struct kept_scene *scene, const char *name);
void kept_scene_await_left(struct kept_scene *scene, const char *name);
/* The disk fails, and the store has found that. */
void kept_scene_fail_disk(struct kept_scene *scene);

#endif
