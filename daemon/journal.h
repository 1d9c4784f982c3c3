/*
 * The journal: what versions served, from which step on each stream took them over, and what commands were carried
 * out behind which step; with it and the streams' ticks `forecast backtest --takeovers` gives the daemon's forecasts
 * once more. A folder per start, DIR/EPOCH:
 *
 *   takeovers.jsonl   a version, before anybody takes it over; a struct takeover; commands, M null: in all models,
 *                     the values those of the whole state, as struct state_order has them; so many lines had no room:
 *                       {"model": M, "version": V, "file": FILE}
 *                       {"stream": S, "generation": G, "model": M, "version": V, "began": N, "step": N}
 *                       {"stream": S, "generation": G, "model": M or null, "command": "reset", "step": N}
 *                       {"stream": S, "generation": G, "model": null, "command": "pause" or "resume", "step": N}
 *                       {"stream": S, "generation": G, "model": M, "command": "set_state", "step": N, "values": [..]}
 *                       {"lost": N}
 *   M-V.version       a version: its parameters and its pooled ridge (engine/version_file.h)
 *
 * One owner, the bus, which never waits for the disk: a thread of the journal's own writes what is handed over
 * through a bounded ring. What has no room is counted and told in the file.
 */
#ifndef DAEMON_JOURNAL_H
#define DAEMON_JOURNAL_H

#include "daemon/records.h"
#include "engine/config.h"

struct journal;

/* Makes the folder and the file. NULL with the sentence in err. */
struct journal *journal_open(const struct config *config, uint64_t epoch, struct error *err);
/* Writes what is left, and joins the thread. NULL is fine. */
void journal_close(struct journal *journal);

/* All: NULL is fine, and does nothing. */
void journal_version(struct journal *journal, int model, struct version *version);
void journal_takeover(struct journal *journal, const struct record_takeover *record);
void journal_command(struct journal *journal, const struct record_commanded *record);
/* An order that has come back; one that only read a state, or could not be carried out, changes nothing. */
void journal_state(struct journal *journal, const struct state_order *order);

#endif
