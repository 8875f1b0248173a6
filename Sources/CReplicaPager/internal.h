// What the files of this target share. Names that SQLite's wal.c has keep its spelling: mxFrame, nPage, nBackfill,
// aReadMark.

#ifndef REPLICA_PAGER_INTERNAL_H
#define REPLICA_PAGER_INTERNAL_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "replica_pager.h"

#if SQLITE_VERSION_NUMBER < 3037000
#error "SQLite 3.37 or newer is needed (SQLITE_OPEN_EXRESCODE)"
#endif

// Defects that the tests plant, to see that they are found. A real build plants none, and the compiler drops the tests.
#define DEFECT_NONE 0
#define DEFECT_COMMITTED_MARKS_IGNORED 1
#define DEFECT_OVERLAY_MARKS_IGNORED 2
#define DEFECT_CAPTURE_MISSES_FRAME 3
#define DEFECT_GATE_DOES_NOT_WAIT 4
#define DEFECT_BACKFILL_PAST_LIMIT 5
#define DEFECT_CHANGE_COUNTER_RESET 6
#define DEFECT_SHED_PAST_BACKFILL 7
#define DEFECT_FORGETS_UNDER_SNAPSHOTS 8
#ifndef RP_DEFECT
#define RP_DEFECT DEFECT_NONE
#endif
// Microseconds between the end of a transaction and its capture, to widen the window that `rp_connection_gate` closes.
#ifndef RP_CAPTURE_DELAY
#define RP_CAPTURE_DELAY 0
#endif

static inline uint32_t get4byte(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void put4byte(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

// MARK: page.c

// The image of a page. Views and batches share it by reference; one that is shared is never changed.
typedef struct rp_page {
    atomic_uint references;
    atomic_ullong *live; // counts the pages of a database
    uint8_t bytes[RP_PAGE_SIZE];
} rp_page;

rp_page *rp_page_create(atomic_ullong *live); // one reference; bytes undefined; NULL: no memory
rp_page *rp_page_retain(rp_page *page);
void rp_page_release(rp_page *page); // NULL is allowed
bool rp_page_is_shared(const rp_page *page);

// MARK: wal_index.c

// The layout of the WAL-index is fixed by SQLite's wal.c: https://sqlite.org/walformat.html#the_wal_index_file_format
typedef struct WalIndexHdr {
    uint32_t iVersion;
    uint32_t unused;
    uint32_t iChange;
    uint8_t isInit;
    uint8_t bigEndCksum;
    uint16_t szPage;
    uint32_t mxFrame;
    uint32_t nPage;
    uint32_t aFrameCksum[2];
    uint32_t aSalt[2];
    uint32_t aCksum[2];
} WalIndexHdr;

#define WAL_NREADER 5
typedef struct WalCkptInfo {
    uint32_t nBackfill;
    uint32_t aReadMark[WAL_NREADER];
    uint8_t aLock[SQLITE_SHM_NLOCK];
    uint32_t nBackfillAttempted;
    uint32_t notUsed0;
} WalCkptInfo;

#define READMARK_NOT_USED 0xffffffffu
#define WAL_WRITE_LOCK 0
#define WAL_CKPT_LOCK 1
#define WAL_RECOVER_LOCK 2
#define WAL_READ_LOCK(I) (3 + (I))
#define WAL_READ_LOCKS 0xf8u // the bits of WAL_READ_LOCK(0) to WAL_READ_LOCK(4)
#define WALINDEX_PGSZ 32768
#define HASHTABLE_NPAGE 4096 // frames in each region but the first

// A bound on the frames of a view: 4 million, 16 GiB. Tables of this many pointers never move, so readers need no
// lock.
#define MAXIMUM_REGIONS 1024
#define MAXIMUM_FRAMES ((uint32_t)(MAXIMUM_REGIONS - 1) * HASHTABLE_NPAGE)

// The locks that one connection holds, a bit for each slot.
typedef struct rp_lock_holder {
    uint8_t shared;
    uint8_t exclusive;
} rp_lock_holder;

typedef struct rp_wal_index {
    pthread_mutex_t mutex; // guards the lock table, and the list of a view's connections
    uint32_t shared[SQLITE_SHM_NLOCK];
    uint8_t exclusive; // a bit for each slot
    _Atomic(uint8_t *) regions[MAXIMUM_REGIONS];
} rp_wal_index;

int rp_wal_index_init(rp_wal_index *index); // with its first region
void rp_wal_index_destroy(rp_wal_index *index);
uint8_t *rp_wal_index_region(rp_wal_index *index, int number, bool extend); // NULL: not there, or no memory
int rp_wal_index_reserve(rp_wal_index *index, uint32_t mxFrame);
void rp_wal_index_append(rp_wal_index *index, uint32_t frame, uint32_t pgno); // the region is reserved
WalIndexHdr rp_wal_index_header(rp_wal_index *index); // for who excludes writers of the header
uint32_t rp_wal_index_mxFrame(rp_wal_index *index);   // for anybody
WalCkptInfo *rp_wal_index_checkpoint(rp_wal_index *index);
uint32_t rp_wal_index_nBackfill(rp_wal_index *index);
void rp_wal_index_publish(rp_wal_index *index, uint32_t mxFrame, uint32_t nPage);
void rp_wal_index_restart_marks(rp_wal_index *index, uint32_t mxFrame);
int rp_wal_index_lock(rp_wal_index *index, rp_lock_holder *holder, int first, int count, bool exclusive);
void rp_wal_index_unlock(rp_wal_index *index, rp_lock_holder *holder, int first, int count);
bool rp_wal_index_try_exclude(rp_wal_index *index, uint8_t slots); // all of them exclusively, at once, or none
void rp_wal_index_readmit(rp_wal_index *index, uint8_t slots);
bool rp_wal_index_others_hold_snapshots(rp_wal_index *index, const rp_lock_holder *holder);
uint32_t rp_wal_index_lowest_held_mark(rp_wal_index *index); // READMARK_NOT_USED: none is held

// MARK: view.c

#define WAL_HDRSIZE 32
#define WAL_FRAME_HDRSIZE 24
#define WAL_FRAME_SIZE (WAL_FRAME_HDRSIZE + RP_PAGE_SIZE)

typedef struct rp_frame {
    _Atomic(rp_page *) page; // NULL: the file has it (or there is no such frame)
    uint8_t header[WAL_FRAME_HDRSIZE];
} rp_frame;

typedef struct rp_main_file rp_main_file;

// The file with a WAL on top, as a connection sees it.
typedef struct rp_view {
    rp_database *database;
    rp_view_kind kind;
    atomic_uint references; // the database's, and one of each connection
    rp_wal_index index;
    uint8_t wal_header[WAL_HDRSIZE];
    _Atomic(rp_frame *) chunks[MAXIMUM_REGIONS];
    uint32_t highest; // the highest frame that may have a page: mxFrame, or above it inside a transaction
    uint32_t shed;    // frames up to here have no page any more
    rp_main_file *connections;
    // An overlay's:
    atomic_bool doomed;
    uint64_t term;
    uint32_t captured; // frames up to here are captured, and never change. Guarded by the overlay mutex
} rp_view;

rp_view *rp_view_create(rp_database *database, rp_view_kind kind);
void rp_view_release(rp_view *view);
int rp_view_reserve(rp_view *view, uint32_t mxFrame); // after it, frames up to mxFrame can be set
rp_frame *rp_view_frame(rp_view *view, uint32_t number); // NULL: not reserved
void rp_view_set_frame(rp_view *view, uint32_t number, uint32_t pgno, rp_page *page); // takes the reference
void rp_view_truncate(rp_view *view, uint32_t mxFrame);
void rp_view_shed(rp_view *view, uint32_t last);
static inline bool rp_view_is_void(rp_view *view) { return atomic_load_explicit(&view->doomed, memory_order_acquire); }

// MARK: file.c

// The database file. Until it exists, its content is the template's.
typedef struct rp_file {
    char *path;
    atomic_int fd; // -1: does not exist
    rp_file_calls calls;
    bool is_named; // its name is durable, as far as this process knows
} rp_file;

extern const uint8_t rp_template_prefix[112];
int rp_file_open(rp_file *file, const char *path, const rp_file_calls *calls);
void rp_file_close(rp_file *file);
int rp_file_create(rp_file *file); // if it does not exist; makes its name durable
int rp_file_read(rp_file *file, void *bytes, int count, int64_t offset, bool waits);
int rp_file_size(rp_file *file, int64_t *size);
int rp_file_write_page(rp_file *file, uint32_t pgno, const void *bytes);
int rp_file_truncate(rp_file *file, uint32_t nPage);
int rp_file_sync(rp_file *file);

// MARK: main_file.c, wal_file.c, vfs.c

// A connection's file, as SQLite sees it; also where the connection's locks are.
struct rp_main_file {
    sqlite3_file base;
    rp_view *view;
    rp_lock_holder locks;
    bool is_open_to_setup; // PRAGMAs that are refused later are still allowed
    bool limit_hit;
    bool waits;
    bool wait_hit;
    uint8_t version[16]; // bytes 24 to 39 of page 1 as the connection last read it
    pthread_mutex_t reading; // held while the buffer of a frame is read: who frees buffers passes through it
    rp_main_file *next;
};

typedef struct rp_wal_file {
    sqlite3_file base;
    rp_main_file *main;
} rp_wal_file;

typedef struct rp_vfs {
    sqlite3_vfs base;
    sqlite3_vfs *real;
    rp_database *database;
    rp_view_kind kind;
    char name[64];
} rp_vfs;

void rp_main_file_init(rp_main_file *file, rp_view *view); // takes a reference of the view
int rp_main_file_read(rp_main_file *file, void *bytes, int count, int64_t offset);
void rp_main_file_note_version(rp_main_file *file, const uint8_t *page); // the connection has read page 1
rp_main_file *rp_main_file_of(struct sqlite3 *connection); // NULL: not one of ours
void rp_wal_file_init(rp_wal_file *file, rp_main_file *main);
int rp_vfs_register(rp_vfs *vfs, rp_database *database, rp_view_kind kind);
void rp_vfs_unregister(rp_vfs *vfs);
int rp_any_lock(sqlite3_file *file, int level);
int rp_any_unlock(sqlite3_file *file, int level);
int rp_any_check_reserved_lock(sqlite3_file *file, int *out);
int rp_any_sync(sqlite3_file *file, int flags);
int rp_any_sector_size(sqlite3_file *file);
int rp_any_device_characteristics(sqlite3_file *file);

// MARK: batch.c

typedef struct rp_batch_page_entry {
    uint32_t pgno;
    uint32_t overlay_frame; // of the same image
    rp_page *page;
} rp_batch_page_entry;

struct rp_batch {
    atomic_uint references;
    rp_database *database;
    uint64_t term;
    uint64_t last_sequence;
    uint32_t transactions;
    uint32_t nPage;
    uint32_t overlay_frame; // the overlay's mxFrame after its last transaction
    bool is_in_flight;      // guarded by the overlay mutex, as is the next one
    rp_batch *next;
    uint32_t count, capacity;
    rp_batch_page_entry *pages;
    uint32_t *slots; // open addressing: position + 1 in `pages`, or 0; twice as many as `capacity`
};

void rp_capture(rp_main_file *file); // it holds the WRITE lock of an overlay, and is about to release it

// MARK: overlay.c

// When the committed view has this frame and everything before, the overlay has it up to `overlay`.
typedef struct rp_overlay_mark {
    uint32_t committed;
    uint32_t overlay;
} rp_overlay_mark;

void rp_overlay_doom_locked(rp_database *database);       // the overlay mutex is held
uint32_t rp_overlay_backfill_limit(rp_database *database); // the overlay mutex is held

// MARK: replica_pager.c

// An entry in the committed WAL.
typedef struct rp_commit {
    uint64_t index;
    uint32_t mxFrame;
    uint32_t nPage;
} rp_commit;

struct rp_database {
    rp_file file;
    rp_vfs vfs[2]; // by rp_view_kind
    uint32_t maximum_transaction_pages;
    atomic_ullong live_pages;
    atomic_uint connections;
    atomic_uint batches;
    atomic_ullong refused_recoveries;
    atomic_ullong refused_frame_writes;
    rp_view *committed;

    pthread_mutex_t apply; // what changes the committed view, or depends on its not changing
    uint64_t applied_index;
    uint64_t backfilled_index;
    rp_commit *commits; // those above nBackfill, oldest first
    uint32_t commit_count, commit_capacity;
    struct {
        bool is_active;
        rp_commit target;
        bool truncates;
    } backfill;

    pthread_mutex_t overlay_mutex; // everything below
    rp_view *overlay;
    uint64_t sequence;
    uint64_t applied_sequence;
    rp_batch *uncut;
    rp_batch *first_in_flight, **last_in_flight;
    uint32_t batches_in_flight;
    rp_overlay_mark *marks; // ascending
    uint32_t mark_count, mark_capacity;
};

#endif
