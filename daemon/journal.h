/*
 * The journal: what versions served, and from which step on each stream took them over; with it and the streams'
 * ticks `forecast backtest --takeovers` gives the daemon's forecasts once more. A folder per start, DIR/EPOCH:
 *
 *   takeovers.jsonl   a version, before anybody takes it over; a struct takeover; so many lines had no room:
 *                       {"model": M, "version": V, "params": FILE or null, "ridge": FILE or null}
 *                       {"stream": S, "generation": G, "model": M, "version": V, "began": N, "step": N}
 *                       {"lost": N}
 *   M-V.npy           the parameters of its network: float32, in the order of network_params
 *   M-V-ridge.npy     the coefficients of its pooled ridge (engine/pooled.h)
 *
 * One owner, the bus, which never waits for the disk: a thread of the journal's own writes what is handed over through
 * a bounded ring. What has no room is counted and told in the file.
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

/* Both: NULL is fine, and does nothing. */
void journal_version(struct journal *journal, int model, struct version *version);
void journal_takeover(struct journal *journal, const struct record_takeover *record);

#endif
