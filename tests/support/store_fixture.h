/* A store in a folder of its own, and entries that tell which one they are. */
#ifndef TESTS_SUPPORT_STORE_FIXTURE_H
#define TESTS_SUPPORT_STORE_FIXTURE_H

#include "daemon/store.h"
#include "tests/support/bus_fixture.h"

struct store_scene {
    char folder[256];
    struct config *config;
    struct doorbell bell; /* the bus' */
    struct store *store;
};

/* The configuration: `top` are further lines of it. */
void store_scene_config(struct store_scene *scene, const char *top);
void store_scene_start(struct store_scene *scene);
/* Both of them. */
void store_scene_open(struct store_scene *scene);
/* Closes the store, and opens it again. */
void store_scene_reopen(struct store_scene *scene);
/* Closes it, and removes the folder. */
void store_scene_close(struct store_scene *scene);

/* Appends the entry of the number, waiting for room. Returns its order. */
uint64_t store_scene_append(struct store_scene *scene, int number);
/* The journal has the entries of the numbers first .. last, whose orders are the same, and nothing else. */
void store_scene_expect(struct store_scene *scene, uint64_t first, uint64_t last);

/* The disk of all that this process writes: a limit of files' size stands for one that fails. No file may grow, which every
 * write meets. */
void disk_works(bool works);

#endif
