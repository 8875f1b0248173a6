// Copies committed pages into the file, and begins the committed WAL anew: walCheckpoint() and walRestartLog() of
// SQLite's wal.c for a WAL that has no file, with the limits that a replicated database adds.

#include <stdlib.h>
#include <time.h>

#include "internal.h"

// MARK: How far

// The newest entry whose frames are all within mxFrame and whose index is not above `limit`; NULL: none.
static const rp_commit *newest_commit(rp_database *database, uint32_t mxFrame, uint64_t limit) {
    for (uint32_t i = database->commit_count; i > 0; i--) {
        const rp_commit *commit = &database->commits[i - 1];
        if (commit->mxFrame <= mxFrame && commit->index <= limit) return commit;
    }
    return NULL;
}

// The lowest of `mxFrame` and the marks that readers hold; marks that nobody holds are moved out of the way. A reader
// that comes later gets the newest snapshot, which is above all this. As in walCheckpoint(), but READ(0) is taken too,
// in one step: who holds it sees the file alone. SQLITE_BUSY: somebody does.
static int exclude_file_readers(rp_wal_index *index, uint32_t *mxFrame) {
    WalCkptInfo *info = rp_wal_index_checkpoint(index);
    pthread_mutex_lock(&index->mutex);
    bool is_free = index->shared[WAL_READ_LOCK(0)] == 0 && !(index->exclusive & 1 << WAL_READ_LOCK(0));
    for (int i = 1; i < WAL_NREADER && is_free; i++) {
        uint32_t mark = __atomic_load_n(&info->aReadMark[i], __ATOMIC_RELAXED);
        if (mark >= *mxFrame) continue;
        if (index->shared[WAL_READ_LOCK(i)] > 0 || (index->exclusive & 1 << WAL_READ_LOCK(i))) {
            if (RP_DEFECT != DEFECT_COMMITTED_MARKS_IGNORED) *mxFrame = mark;
        } else {
            __atomic_store_n(&info->aReadMark[i], i == 1 ? *mxFrame : READMARK_NOT_USED, __ATOMIC_RELAXED);
        }
    }
    if (is_free) index->exclusive |= 1 << WAL_READ_LOCK(0);
    pthread_mutex_unlock(&index->mutex);
    return is_free ? SQLITE_OK : SQLITE_BUSY;
}

int rp_backfill_begin(rp_database *database, uint64_t limit, uint64_t *index) {
    rp_wal_index *wal_index = &database->committed->index;
    if (RP_DEFECT == DEFECT_BACKFILL_PAST_LIMIT) limit = UINT64_MAX;
    pthread_mutex_lock(&database->apply);
    int rc = database->backfill.is_active ? SQLITE_MISUSE : SQLITE_OK;
    pthread_mutex_lock(&database->overlay_mutex);
    uint32_t mxFrame = rp_overlay_backfill_limit(database);
    pthread_mutex_unlock(&database->overlay_mutex);

    const rp_commit *commit = rc == SQLITE_OK ? newest_commit(database, mxFrame, limit) : NULL;
    if (rc == SQLITE_OK && commit == NULL) rc = SQLITE_DONE;
    if (rc == SQLITE_OK) {
        mxFrame = commit->mxFrame;
        rc = exclude_file_readers(wal_index, &mxFrame);
    }
    if (rc == SQLITE_OK) {
        commit = newest_commit(database, mxFrame, limit);
        if (commit == NULL) {
            rp_wal_index_readmit(wal_index, 1 << WAL_READ_LOCK(0));
            rc = SQLITE_DONE;
        }
    }
    if (rc == SQLITE_OK) {
        database->backfill.is_active = true;
        database->backfill.target = *commit;
        // As SQLite: pages are cut off only when nothing above is left that they could belong to.
        database->backfill.truncates = commit->mxFrame == rp_wal_index_mxFrame(wal_index);
        *index = commit->index;
    }
    pthread_mutex_unlock(&database->apply);
    return rc;
}

// MARK: Copying

// A page number above, its frame below: in order, each page's newest frame is its last.
static int by_page_and_frame(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

// Frames between nBackfill and the target neither change nor lose their pages until rp_backfill_end.
static int copy_pages(rp_database *database, uint64_t *order, uint32_t nBackfill) {
    rp_view *view = database->committed;
    rp_commit target = database->backfill.target;
    uint32_t count = target.mxFrame - nBackfill;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t frame = nBackfill + 1 + i;
        order[i] = (uint64_t)get4byte(rp_view_frame(view, frame)->header) << 32 | frame;
    }
    qsort(order, count, sizeof *order, by_page_and_frame);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t pgno = (uint32_t)(order[i] >> 32), frame = (uint32_t)order[i];
        if (pgno > target.nPage) break;
        if (i + 1 < count && order[i + 1] >> 32 == pgno) continue;
        rp_page *page = atomic_load_explicit(&rp_view_frame(view, frame)->page, memory_order_acquire);
        int rc = rp_file_write_page(&database->file, pgno, page->bytes);
        if (rc != SQLITE_OK) return rc;
    }
    return SQLITE_OK;
}

int rp_backfill_run(rp_database *database) {
    if (!database->backfill.is_active) return SQLITE_MISUSE;
    int rc = rp_file_create(&database->file);
    if (rc != SQLITE_OK) return rc;
    uint32_t nBackfill = rp_wal_index_nBackfill(&database->committed->index);
    uint64_t *order = malloc((size_t)(database->backfill.target.mxFrame - nBackfill) * sizeof *order);
    if (order == NULL) return SQLITE_NOMEM;
    rc = copy_pages(database, order, nBackfill);
    free(order);
    if (rc == SQLITE_OK && database->backfill.truncates) {
        rc = rp_file_truncate(&database->file, database->backfill.target.nPage);
    }
    return rc == SQLITE_OK ? rp_file_sync(&database->file) : rc;
}

static void forget_backfilled(rp_database *database, uint32_t nBackfill) {
    uint32_t gone = 0;
    while (gone < database->commit_count && database->commits[gone].mxFrame <= nBackfill) gone++;
    database->commit_count -= gone;
    for (uint32_t i = 0; i < database->commit_count; i++) database->commits[i] = database->commits[i + gone];

    pthread_mutex_lock(&database->overlay_mutex);
    uint32_t kept = 0; // the newest mark that the file has reached, and those after it
    while (kept + 1 < database->mark_count && database->marks[kept + 1].committed <= nBackfill) kept++;
    database->mark_count -= kept;
    for (uint32_t i = 0; i < database->mark_count; i++) database->marks[i] = database->marks[i + kept];
    pthread_mutex_unlock(&database->overlay_mutex);
}

// A backfill that failed half-way did no harm: the pages that it wrote are in the WAL, where every snapshot finds them.
void rp_backfill_end(rp_database *database, bool completed) {
    rp_wal_index *index = &database->committed->index;
    pthread_mutex_lock(&database->apply);
    if (database->backfill.is_active) {
        rp_commit target = database->backfill.target;
        if (completed) {
            WalCkptInfo *info = rp_wal_index_checkpoint(index);
            __atomic_store_n(&info->nBackfillAttempted, target.mxFrame, __ATOMIC_RELAXED);
            __atomic_store_n(&info->nBackfill, target.mxFrame, __ATOMIC_RELEASE);
            database->backfilled_index = target.index;
            forget_backfilled(database, target.mxFrame);
        }
        database->backfill.is_active = false;
        rp_wal_index_readmit(index, 1 << WAL_READ_LOCK(0));
    }
    pthread_mutex_unlock(&database->apply);
}

// MARK: Beginning anew

static bool exclude_within(rp_wal_index *index, uint8_t slots, uint32_t microseconds) {
    struct timespec began, now, pause = {.tv_nsec = 20000};
    clock_gettime(CLOCK_MONOTONIC, &began);
    while (!rp_wal_index_try_exclude(index, slots)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t passed = (int64_t)(now.tv_sec - began.tv_sec) * 1000000 + (now.tv_nsec - began.tv_nsec) / 1000;
        if (passed >= microseconds) return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

// With everything in the file, new readers take READ(0) and none of READ(1) to READ(4): these drain as soon as nothing
// is applied for a moment. So short readers, however many, cannot keep the WAL from ever beginning anew.
int rp_reset(rp_database *database, uint32_t maximum_wait) {
    rp_view *view = database->committed;
    const uint8_t slots = WAL_READ_LOCKS & ~(1u << WAL_READ_LOCK(0));
    pthread_mutex_lock(&database->apply);
    WalIndexHdr header = rp_wal_index_header(&view->index);
    int rc = SQLITE_OK;
    if (header.mxFrame > 0) {
        bool is_complete = !database->backfill.is_active && rp_wal_index_nBackfill(&view->index) == header.mxFrame;
        if (is_complete && exclude_within(&view->index, slots, maximum_wait)) {
            rp_view_truncate(view, 0);
            rp_wal_index_restart_marks(&view->index, 0);
            rp_wal_index_publish(&view->index, 0, header.nPage);
            rp_wal_index_readmit(&view->index, slots);
            pthread_mutex_lock(&database->overlay_mutex);
            if (database->mark_count > 0) {
                // What the overlay has up to its newest mark is all in the file.
                database->marks[0] = (rp_overlay_mark){0, database->marks[database->mark_count - 1].overlay};
                database->mark_count = 1;
            }
            pthread_mutex_unlock(&database->overlay_mutex);
        } else {
            rc = SQLITE_BUSY;
        }
    }
    pthread_mutex_unlock(&database->apply);
    return rc;
}

void rp_shed(rp_database *database) {
    rp_view *committed = database->committed;
    pthread_mutex_lock(&database->apply);
    uint32_t nBackfill = rp_wal_index_nBackfill(&committed->index);
    bool defect = RP_DEFECT == DEFECT_SHED_PAST_BACKFILL && !database->backfill.is_active;
    rp_view_shed(committed, defect ? rp_wal_index_mxFrame(&committed->index) : nBackfill);
    pthread_mutex_lock(&database->overlay_mutex);
    for (uint32_t i = database->mark_count; i > 0; i--) {
        if (database->marks[i - 1].committed > nBackfill) continue;
        rp_view_shed(database->overlay, database->marks[i - 1].overlay);
        break;
    }
    pthread_mutex_unlock(&database->overlay_mutex);
    pthread_mutex_unlock(&database->apply);
}
