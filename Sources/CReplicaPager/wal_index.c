// A WAL-index in the heap: the header and hash tables of SQLite's wal.c, and the table of the locks that SQLite takes
// through xShmLock. All connections of a view get the same memory from xShmMap, and keep pointers to it: a region is
// neither moved nor freed while the view lives.

#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define WALINDEX_MAX_VERSION 3007000
#define WALINDEX_CKPT_OFFSET (2 * sizeof(WalIndexHdr))
#define WALINDEX_HDR_SIZE (WALINDEX_CKPT_OFFSET + sizeof(WalCkptInfo))
#define HASHTABLE_NPAGE_ONE (HASHTABLE_NPAGE - WALINDEX_HDR_SIZE / sizeof(uint32_t))
#define HASHTABLE_NSLOT (2 * HASHTABLE_NPAGE)
#define HASHTABLE_HASH_1 383
#define HASHTABLE_OFFSET (HASHTABLE_NPAGE * sizeof(uint32_t))

_Static_assert(sizeof(WalIndexHdr) == 48, "layout of SQLite's WAL-index header");
_Static_assert(WALINDEX_HDR_SIZE == 136, "layout of SQLite's WAL-index header");

// MARK: Regions

uint8_t *rp_wal_index_region(rp_wal_index *index, int number, bool extend) {
    if (number < 0 || number >= MAXIMUM_REGIONS) return NULL;
    uint8_t *region = atomic_load_explicit(&index->regions[number], memory_order_acquire);
    if (region != NULL || !extend) return region;
    uint8_t *fresh = calloc(1, WALINDEX_PGSZ);
    if (fresh == NULL) return NULL;
    if (atomic_compare_exchange_strong(&index->regions[number], &region, fresh)) return fresh;
    free(fresh); // somebody else was faster
    return region;
}

int rp_wal_index_init(rp_wal_index *index) {
    pthread_mutex_init(&index->mutex, NULL);
    return rp_wal_index_region(index, 0, true) == NULL ? SQLITE_NOMEM : SQLITE_OK;
}

void rp_wal_index_destroy(rp_wal_index *index) {
    for (int i = 0; i < MAXIMUM_REGIONS; i++) free(atomic_load(&index->regions[i]));
    pthread_mutex_destroy(&index->mutex);
}

// The region that holds a frame: walFramePage().
static int region_of_frame(uint32_t frame) {
    return (int)((frame + HASHTABLE_NPAGE - HASHTABLE_NPAGE_ONE - 1) / HASHTABLE_NPAGE);
}

int rp_wal_index_reserve(rp_wal_index *index, uint32_t mxFrame) {
    if (mxFrame == 0) return SQLITE_OK;
    int last = region_of_frame(mxFrame), first = last;
    while (first > 0 && rp_wal_index_region(index, first - 1, false) == NULL) first--; // they grow in order
    for (int number = first; number <= last; number++) {
        if (rp_wal_index_region(index, number, true) == NULL) return SQLITE_NOMEM;
    }
    return SQLITE_OK;
}

// MARK: Hash tables

// As walIndexAppend(), where the frames above mxFrame of the region are clean: nothing appended here is ever undone.
void rp_wal_index_append(rp_wal_index *index, uint32_t frame, uint32_t pgno) {
    int number = region_of_frame(frame);
    uint8_t *region = atomic_load_explicit(&index->regions[number], memory_order_relaxed);
    uint16_t *aHash = (uint16_t *)(region + HASHTABLE_OFFSET);
    uint32_t *aPgno = (uint32_t *)region;
    uint32_t iZero = 0;
    if (number == 0) {
        aPgno += WALINDEX_HDR_SIZE / sizeof(uint32_t);
    } else {
        iZero = (uint32_t)(HASHTABLE_NPAGE_ONE + (uint32_t)(number - 1) * HASHTABLE_NPAGE);
    }
    uint32_t idx = frame - iZero;
    if (idx == 1) {
        // The first frame of a region: what an earlier life of the WAL left in it goes. Nobody reads it, since whoever
        // holds a snapshot with frames of that life has kept the WAL from being begun anew.
        memset(aPgno, 0, (size_t)((uint8_t *)(aHash + HASHTABLE_NSLOT) - (uint8_t *)aPgno));
    }
    uint32_t key = (pgno * HASHTABLE_HASH_1) & (HASHTABLE_NSLOT - 1);
    while (aHash[key] != 0) key = (key + 1) & (HASHTABLE_NSLOT - 1);
    __atomic_store_n(&aPgno[idx - 1], pgno, __ATOMIC_RELAXED);
    __atomic_store_n(&aHash[key], (uint16_t)idx, __ATOMIC_RELEASE);
}

// MARK: Header

static WalIndexHdr *live_header(rp_wal_index *index) {
    return (WalIndexHdr *)atomic_load_explicit(&index->regions[0], memory_order_relaxed);
}

WalIndexHdr rp_wal_index_header(rp_wal_index *index) {
    return *live_header(index);
}

// Readers take a header only when both copies are equal, and SQLite writes the one that we read last.
uint32_t rp_wal_index_mxFrame(rp_wal_index *index) {
    return __atomic_load_n(&live_header(index)->mxFrame, __ATOMIC_ACQUIRE);
}

WalCkptInfo *rp_wal_index_checkpoint(rp_wal_index *index) {
    return (WalCkptInfo *)((uint8_t *)live_header(index) + WALINDEX_CKPT_OFFSET);
}

uint32_t rp_wal_index_nBackfill(rp_wal_index *index) {
    return __atomic_load_n(&rp_wal_index_checkpoint(index)->nBackfill, __ATOMIC_ACQUIRE);
}

// The checksum of a header, as walChecksumBytes() in native byte order over its first 40 bytes.
static void header_checksum(const WalIndexHdr *header, uint32_t out[2]) {
    uint32_t words[sizeof *header / sizeof(uint32_t)];
    memcpy(words, header, sizeof *header);
    uint32_t s1 = 0, s2 = 0;
    for (int i = 0; i < 10; i += 2) {
        s1 += words[i] + s2;
        s2 += words[i + 1] + s1;
    }
    out[0] = s1;
    out[1] = s2;
}

// As walIndexWriteHdr(). iChange grows with every header for as long as the view lives: it is what makes each
// connection notice that its cached pages are old, even where mxFrame and nPage are by chance the same as before a
// restart.
//
// No lock: a reader that finds the two copies different asks for the WRITE lock, is told that it is busy (always, on
// the committed view), and tries again, as it would with a writer in another process.
void rp_wal_index_publish(rp_wal_index *index, uint32_t mxFrame, uint32_t nPage) {
    static const uint16_t one = 1;
    WalIndexHdr *live = live_header(index);
    WalIndexHdr next = *live;
    next.iVersion = WALINDEX_MAX_VERSION;
    next.iChange = live->iChange + 1;
    next.isInit = 1;
    next.bigEndCksum = *(const uint8_t *)&one == 0;
    next.szPage = RP_PAGE_SIZE;
    next.mxFrame = mxFrame;
    next.nPage = nPage;
    if (RP_DEFECT == DEFECT_CHANGE_COUNTER_RESET) next.iChange = mxFrame;
    header_checksum(&next, next.aCksum);
    memcpy(&live[1], &next, sizeof next);
    atomic_thread_fence(memory_order_seq_cst);
    memcpy(&live[0], &next, sizeof next);
    atomic_thread_fence(memory_order_seq_cst);
}

// A WAL of its own that ends at mxFrame, none of it in the file. Nobody holds a read lock other than READ(0), whose
// holders look at the file alone.
void rp_wal_index_restart_marks(rp_wal_index *index, uint32_t mxFrame) {
    WalCkptInfo *info = rp_wal_index_checkpoint(index);
    __atomic_store_n(&info->nBackfill, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&info->nBackfillAttempted, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&info->aReadMark[0], 0, __ATOMIC_RELAXED);
    __atomic_store_n(&info->aReadMark[1], mxFrame, __ATOMIC_RELAXED);
    for (int i = 2; i < WAL_NREADER; i++) __atomic_store_n(&info->aReadMark[i], READMARK_NOT_USED, __ATOMIC_RELAXED);
}

// MARK: Locks

static uint8_t slots_of(int first, int count) {
    return (uint8_t)(((1u << count) - 1) << first);
}

int rp_wal_index_lock(rp_wal_index *index, rp_lock_holder *holder, int first, int count, bool exclusive) {
    uint8_t wanted = slots_of(first, count);
    int rc = SQLITE_OK;
    pthread_mutex_lock(&index->mutex);
    if (exclusive) {
        wanted &= (uint8_t)~holder->exclusive;
        if (index->exclusive & wanted) rc = SQLITE_BUSY;
        for (int i = first; i < first + count && rc == SQLITE_OK; i++) {
            uint32_t own = (holder->shared >> i) & 1;
            if ((wanted >> i & 1) && index->shared[i] > own) rc = SQLITE_BUSY;
        }
        if (rc == SQLITE_OK) {
            index->exclusive |= wanted;
            holder->exclusive |= wanted;
        }
    } else {
        wanted &= (uint8_t)~holder->shared;
        if (index->exclusive & wanted & ~holder->exclusive) rc = SQLITE_BUSY;
        for (int i = first; i < first + count && rc == SQLITE_OK; i++) index->shared[i] += (wanted >> i) & 1;
        if (rc == SQLITE_OK) holder->shared |= wanted;
    }
    pthread_mutex_unlock(&index->mutex);
    return rc;
}

void rp_wal_index_unlock(rp_wal_index *index, rp_lock_holder *holder, int first, int count) {
    uint8_t slots = slots_of(first, count);
    pthread_mutex_lock(&index->mutex);
    for (int i = first; i < first + count; i++) index->shared[i] -= (holder->shared >> i) & 1;
    index->exclusive &= (uint8_t)~(holder->exclusive & slots);
    holder->shared &= (uint8_t)~slots;
    holder->exclusive &= (uint8_t)~slots;
    pthread_mutex_unlock(&index->mutex);
}

bool rp_wal_index_try_exclude(rp_wal_index *index, uint8_t slots) {
    pthread_mutex_lock(&index->mutex);
    bool is_free = (index->exclusive & slots) == 0;
    for (int i = 0; i < SQLITE_SHM_NLOCK; i++) {
        if ((slots >> i & 1) && index->shared[i] > 0) is_free = false;
    }
    if (is_free) index->exclusive |= slots;
    pthread_mutex_unlock(&index->mutex);
    return is_free;
}

void rp_wal_index_readmit(rp_wal_index *index, uint8_t slots) {
    pthread_mutex_lock(&index->mutex);
    index->exclusive &= (uint8_t)~slots;
    pthread_mutex_unlock(&index->mutex);
}

bool rp_wal_index_others_hold_snapshots(rp_wal_index *index, const rp_lock_holder *holder) {
    bool others = false;
    pthread_mutex_lock(&index->mutex);
    for (int i = 0; i < WAL_NREADER; i++) {
        int slot = WAL_READ_LOCK(i);
        if (index->shared[slot] > (uint32_t)(holder->shared >> slot & 1)) others = true;
    }
    pthread_mutex_unlock(&index->mutex);
    return others;
}

// A mark may be older than the snapshot of who holds its lock (when all slots are taken a reader joins an older one),
// never newer.
uint32_t rp_wal_index_lowest_held_mark(rp_wal_index *index) {
    WalCkptInfo *info = rp_wal_index_checkpoint(index);
    uint32_t lowest = READMARK_NOT_USED;
    pthread_mutex_lock(&index->mutex);
    for (int i = 0; i < WAL_NREADER; i++) {
        if (index->shared[WAL_READ_LOCK(i)] == 0) continue;
        // Who holds READ(0) sees the file alone: a snapshot before the first frame.
        uint32_t mark = i == 0 ? 0 : __atomic_load_n(&info->aReadMark[i], __ATOMIC_RELAXED);
        if (mark < lowest) lowest = mark;
    }
    pthread_mutex_unlock(&index->mutex);
    return lowest;
}
