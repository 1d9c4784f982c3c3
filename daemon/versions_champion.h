/*
 * Which version serves a model, as it stands in the model's folder (versions.h): the record and its copy. Blocks while the disk
 * works; any thread.
 */
#ifndef DAEMON_VERSIONS_CHAMPION_H
#define DAEMON_VERSIONS_CHAMPION_H

#include "engine/error.h"
#include "engine/version_file.h"

#include <stdbool.h>
#include <stdint.h>

enum { VERSIONS_PATH = 4600 };

struct champion {
    uint64_t number, before; /* 0: none */
    bool to_baseline;        /* the way back is to what was before the first version */
    char *made_for, *facts;
};

void versions_champion_fini(struct champion *champion);

/* Both files, one behind the other. Returns -1 with the sentence in err. */
int versions_champion_write(const char *folder, struct champion *champion, struct error *err);

/* Whose it is, borrowed; the model's name is for the log. */
struct champion_of {
    const char *model, *folder, *made_for;
};

/* What the record says, or where that is lost or damaged its copy. What is damaged is set aside and told; where either is
 * read the other one becomes like it. Empty before; free with versions_champion_fini. err where it is not VERSION_FILE_READ. */
enum version_file versions_champion_find(const struct champion_of *of, struct champion *champion, struct error *err);

/* versions.c */
/* Renames to the first NAME~N that is free, which goes to ret_kept. */
void versions_set_aside(const char *path, char ret_kept[VERSIONS_PATH]);

#endif
