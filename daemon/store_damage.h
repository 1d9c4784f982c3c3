/*
 * Damage in the middle of the journal's log, told from its torn end. RocksDB cuts its log at the first record that is not whole. At the end
 * of what was synced that is right: nobody was told that what follows is kept. But each block also says what had been
 * synced when it was written; one that lies behind the cut and says more than is left shows that synced entries are gone.
 */
#ifndef DAEMON_STORE_DAMAGE_H
#define DAEMON_STORE_DAMAGE_H

#include "engine/error.h"

#include <stdbool.h>
#include <stdint.h>

/* What the log's files tell, whole or not. */
struct damage {
    uint64_t epoch;  /* the latest start that wrote blocks */
    uint64_t synced; /* of it: the most that a block says is on disk */
    uint64_t last;   /* of it: the last order of a block that was begun */
    bool holds;      /* there are files that something was written to */
};

/* Before the database in folder/db is opened: reads its logs, and keeps them by a second name, as RocksDB will delete
 * them. Refuses where entries were found missing before, until somebody says that it is to go on without. */
int damage_look(const char *folder, struct damage *ret_damage, struct error *err);
/* Behind it: `left` is the last order that the database has, `epoch` its latest start. Where synced entries are missing
 * the logs are kept for good; else the second names go. */
int damage_judge(const char *folder, const struct damage *damage, uint64_t epoch, uint64_t left, struct error *err);

#endif
