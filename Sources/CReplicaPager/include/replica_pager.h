// The pages of one replicated SQLite database: a VFS on the stock SQLite library that turns transactions into batches
// of pages, and batches of pages that were committed by consensus back into a database.
//
// A database has two views. Both read the same file on disk and put a WAL in memory on top of it.
//
//   committed   the file + frames that consensus has committed. Changed by `rp_apply` alone. Readers never wait.
//   overlay     the file + frames of the committed view + transactions of clients that are not committed yet. It exists
//               on the leader only, for one term; it is doomed and thrown away when leadership is lost.
//
// The way of a write: a transaction on an overlay connection ends; it is captured into the uncut batch and gets a
// sequence number; `rp_cut` takes the batch away to be replicated; `rp_apply_batch` puts it into the committed view.
// Followers get there by `rp_apply`. `rp_backfill_begin`, `_run` and `_end` copy committed pages into the file; nothing
// else writes it.
//
// Threads. A database may be used by any number of threads; a connection, as always without SQLite's own mutexes, by
// one at a time. Locks are taken in this order, none is held while a function of the caller runs:
//   lane (the caller's: one overlay transaction at a time) > apply > overlay > lock table of a WAL-index > connection.
//
// Functions that return `int` return SQLite's result codes. What they may return beside SQLITE_OK is said at each;
// SQLITE_MISUSE always means an error in the calling code, and that nothing was changed.

#ifndef REPLICA_PAGER_H
#define REPLICA_PAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sqlite3;

/// Bytes of a page. Fixed when a database is created, the same on all replicas.
#define RP_PAGE_SIZE 4096

/// The extended result code of everything done on an overlay that was doomed, or that does not exist: not the leader
/// (any more). It is SQLITE_IOERR | (40 << 8), as in dqlite.
#define RP_NOT_LEADER 10250

/// The extended result code of a read on a connection that must not wait for the disk (`rp_connection_set_waits`) and
/// met a page that is not in the operating system's memory: SQLITE_IOERR | (41 << 8).
#define RP_WOULD_WAIT 10506

typedef struct rp_database rp_database;
typedef struct rp_batch rp_batch;

/// The calls that change the database file, and the one that makes its name durable: `fsync` is given the directory. A
/// test puts its own here, to lose, tear or fail them. Each behaves as the function of POSIX of the same name: the bytes
/// written or 0, or -1 and `errno`.
typedef struct rp_file_calls {
    void *context;
    ssize_t (*pwrite)(void *context, int fd, const void *bytes, size_t count, off_t offset);
    int (*ftruncate)(void *context, int fd, off_t size);
    int (*fdatasync)(void *context, int fd);
    int (*fsync)(void *context, int fd);
} rp_file_calls;

typedef struct rp_options {
    /// Pages that one transaction may write. Beyond it the transaction fails with SQLITE_FULL. 0: 16384 (64 MiB).
    uint32_t maximum_transaction_pages;
    /// NULL: the operating system's own. Copied.
    const rp_file_calls *file_calls;
} rp_options;

// MARK: Database

/// Opens a database. A file that does not exist is not created: readers see an empty database, and the first backfill
/// makes the file. The file is guarded by a lock: an `sqlite3` outside gets "database is locked".
///
/// After a crash, entries are applied from the one after the last completed checkpoint, up to the newest checkpoint
/// that was begun, before the first connection is opened: until then the file may hold a mixture of both. Applying the
/// same entries again does no harm.
///
/// Returns SQLITE_BUSY if somebody else has the file open, SQLITE_CANTOPEN, SQLITE_NOMEM.
/// - path: absolute; copied.
/// - options: NULL for the defaults.
int rp_open(const char *path, const rp_options *options, rp_database **out);

/// Makes an empty file in memory, that no directory holds and that goes when its descriptor is closed. Returns the
/// descriptor, or -1 where the system has no such files.
int rp_memory_file(void);

/// Closes a database. Returns SQLITE_BUSY, and changes nothing, while connections or batches are left.
int rp_close(rp_database *database);

typedef struct rp_statistics {
    uint64_t applied_index;          // of the newest entry in the committed view
    uint64_t backfilled_index;       // of the newest entry in the file, since the database was opened; 0: none
    uint64_t captured_sequence;      // of the newest transaction on an overlay
    uint64_t applied_sequence;       // of the newest transaction of an overlay that was applied
    uint32_t committed_frames;       // mxFrame of the committed view
    uint32_t backfilled_frames;      // nBackfill of the committed view
    uint32_t overlay_frames;         // mxFrame of the overlay; 0 without one
    uint32_t uncut_pages;            // pages in the uncut batch
    uint32_t batches_in_flight;      // cut, not applied
    uint32_t connections;            // open, on all views
    uint64_t page_buffers;           // pages in memory, all views and batches together
    uint64_t refused_recoveries;     // attempts of SQLite to recover or checkpoint a WAL: stays 0 in a healthy node
    uint64_t refused_frame_writes;   // attempts to write a frame that was captured: stays 0, or SQLite changed
} rp_statistics;

/// What memory is used for, and how far everything has got.
void rp_get_statistics(rp_database *database, rp_statistics *out);

// MARK: Connections

typedef enum rp_view_kind { RP_COMMITTED = 0, RP_OVERLAY = 1 } rp_view_kind;

/// Opens a connection on a view, with what SQLite must be told set: extended result codes, no checkpoints of its own,
/// no syncs (the log of consensus does that), and on the committed view query_only. It has no mutexes of its own. Close
/// it with `sqlite3_close`. Returns RP_NOT_LEADER when there is no overlay, or what `sqlite3_open_v2` does.
int rp_connection_open(rp_database *database, rp_view_kind kind, struct sqlite3 **out);

/// The sequence number that must have been applied before an answer that this overlay connection gave may be shown to
/// anybody. Call it after the statement. Returns RP_NOT_LEADER when the overlay is doomed: the answer is void.
int rp_connection_gate(struct sqlite3 *connection, uint64_t *sequence);

/// Whether a statement of this overlay connection failed with SQLITE_FULL because its transaction went above
/// `maximum_transaction_pages`, since the last call.
bool rp_connection_take_limit_hit(struct sqlite3 *connection);

/// Whether this connection may wait for the disk (as it does when opened). If not, a read of a page that is not in
/// memory ends the statement; run it again where waiting is allowed. Only where the system can tell.
void rp_connection_set_waits(struct sqlite3 *connection, bool waits);

/// Whether a read of this connection was refused, since the last call, because it would have waited. Ask after any
/// error: it is not always RP_WOULD_WAIT. When SQLite cannot read page 1 while it prepares a statement it believes its
/// old schema, and says "no such table" (schemaIsValid in prepare.c).
bool rp_connection_take_wait_hit(struct sqlite3 *connection);

// MARK: Overlay and batches

/// Begins an overlay on the committed view as it is now. The caller has applied everything before the term's own first
/// entry, and that. Returns SQLITE_MISUSE when there is one, SQLITE_NOMEM.
int rp_overlay_begin(rp_database *database, uint64_t term);

/// Leadership is lost: nothing on the overlay counts any more. What its connections do fails with RP_NOT_LEADER from
/// now on; the overlay's memory goes with the last of them. Batches in flight stay valid for who holds them.
/// Idempotent.
void rp_overlay_doom(rp_database *database);

/// Builds the overlay's WAL anew from what the file does not have: frees what was checkpointed or superseded. Call it
/// between transactions. Returns SQLITE_BUSY when a connection is inside a transaction, SQLITE_NOMEM; the overlay is as
/// before then. Without an overlay: RP_NOT_LEADER.
int rp_overlay_rebuild(rp_database *database);

/// Pages in the uncut batch, for the lane to wait when they are too many.
uint32_t rp_uncut_pages(rp_database *database);

/// Whether there is an overlay. One that lacked memory to capture a transaction dooms itself.
bool rp_has_overlay(rp_database *database);

/// Takes the uncut batch away: the newest image of each page of all transactions since the last cut. It counts as in
/// flight until it is applied or the overlay is doomed. NULL when there is none. Release it.
rp_batch *rp_cut(rp_database *database);

typedef struct rp_page_image {
    uint32_t number; // from 1
    const void *bytes; // RP_PAGE_SIZE of them
} rp_page_image;

uint32_t rp_batch_count(const rp_batch *batch);
/// The page at `position`; in ascending order of page numbers, each once. Its bytes live as long as the batch.
rp_page_image rp_batch_page(const rp_batch *batch, uint32_t position);
/// Pages of the database after the batch.
uint32_t rp_batch_commit_size(const rp_batch *batch);
/// The sequence number of its last transaction.
uint64_t rp_batch_last_sequence(const rp_batch *batch);
/// Transactions in it.
uint32_t rp_batch_transactions(const rp_batch *batch);
/// The term of the overlay that it comes from: it may be proposed in no other.
uint64_t rp_batch_term(const rp_batch *batch);
void rp_batch_release(rp_batch *batch);

// MARK: Apply

/// Applies a batch of this database at its place in the log, without copying its pages. Batches in flight are applied
/// in the order of their cuts; one whose overlay was doomed may be applied like any entry. Readers see all of it or
/// nothing. Returns SQLITE_MISUSE when order or index is wrong, SQLITE_NOMEM, SQLITE_FULL; nothing is changed then.
/// - index: of the log entry; greater than that of any entry applied before.
int rp_apply_batch(rp_database *database, rp_batch *batch, uint64_t index);

/// Applies an entry that came from elsewhere; pages are copied. There must be no overlay. Needs neither a connection
/// nor a readable file. Returns as `rp_apply_batch`, and SQLITE_CORRUPT when the entry cannot be right.
/// - commit_size: pages of the database afterwards. 0: from bytes 28-31 of page 1, as dqlite's nodes do; without page 1
///   it does not change.
int rp_apply(
    rp_database *database, uint64_t index, uint32_t count, const rp_page_image *pages, uint32_t commit_size);

// MARK: Checkpoint
//
//     if (rp_backfill_begin(database, durable, &index) == SQLITE_OK) {
//         make the intent record {index} durable
//         rc = rp_backfill_run(database);
//         if (rc == SQLITE_OK) make the done record {index} durable
//         rp_backfill_end(database, rc == SQLITE_OK);
//     }

/// Begins to copy committed pages into the file, as far as open snapshots of both views allow and no further than
/// `limit`: the newest index that is durable in the log of *this* node. What it will reach is stored in `index`.
/// Returns SQLITE_DONE when there is nothing to copy now, SQLITE_BUSY when a reader reads the file alone and must end
/// first, SQLITE_MISUSE when one is under way.
int rp_backfill_begin(rp_database *database, uint64_t limit, uint64_t *index);

/// Writes the pages and syncs the file. Holds no lock: everything else goes on. Returns SQLITE_FULL (no room; may be
/// run again later), SQLITE_IOERR_WRITE, SQLITE_IOERR_TRUNCATE, SQLITE_CANTOPEN, SQLITE_NOMEM; SQLITE_IOERR_FSYNC
/// and SQLITE_IOERR_DIR_FSYNC, after which nobody knows what the file holds, and which must not be tried again.
int rp_backfill_run(rp_database *database);

/// Ends what `rp_backfill_begin` began. Only if it was completed are the pages from now on read from the file.
void rp_backfill_end(rp_database *database, bool completed);

/// Begins the committed WAL anew if all of it is in the file and no snapshot needs it; waits for snapshots to end at
/// most so many microseconds, in which nothing is applied: keep it to a few thousand. SQLITE_OK also when it is empty.
/// Returns SQLITE_BUSY when it cannot be now.
int rp_reset(rp_database *database, uint32_t maximum_wait);

/// Frees the buffers of pages that the file has, though snapshots still need their frames: they are read from the file.
/// What is left is about 40 bytes per frame.
void rp_shed(rp_database *database);

#ifdef __cplusplus
}
#endif

#endif
