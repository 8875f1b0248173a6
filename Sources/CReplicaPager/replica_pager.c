// The database object, and how committed entries get into its committed view.

#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define DEFAULT_MAXIMUM_TRANSACTION_PAGES 16384
#define LOCK_BYTE_PAGE (0x40000000 / RP_PAGE_SIZE + 1) // never part of a database

// MARK: Opening

// Pages of the database that the file holds. From page 1, since a file may be longer than its database; unless a crash
// damaged page 1. Redo repairs it, maybe not with its first entry: until then the size is that of the file, which is
// never shorter than at its last completed checkpoint, so that nothing is cut off that redo relies on.
static int file_pages(rp_database *database, uint32_t *nPage) {
    uint8_t header[100];
    int64_t size = 0;
    int rc = rp_file_read(&database->file, header, sizeof header, 0, true);
    if (rc == SQLITE_OK) rc = rp_file_size(&database->file, &size);
    bool is_whole = memcmp(header, rp_template_prefix, 24) == 0 && get4byte(header + 24) == get4byte(header + 92);
    *nPage = is_whole ? get4byte(header + 28) : 0;
    if (*nPage == 0 || *nPage > size / RP_PAGE_SIZE) *nPage = (uint32_t)(size / RP_PAGE_SIZE);
    return rc;
}

static void free_database(rp_database *database) {
    for (int kind = 0; kind < 2; kind++) {
        if (database->vfs[kind].database != NULL) rp_vfs_unregister(&database->vfs[kind]);
    }
    if (database->committed != NULL) rp_view_release(database->committed);
    rp_file_close(&database->file);
    pthread_mutex_destroy(&database->apply);
    pthread_mutex_destroy(&database->overlay_mutex);
    free(database->commits);
    free(database->marks);
    free(database);
}

int rp_open(const char *path, const rp_options *options, rp_database **out) {
    *out = NULL;
    rp_database *database = calloc(1, sizeof *database);
    if (database == NULL) return SQLITE_NOMEM;
    pthread_mutex_init(&database->apply, NULL);
    pthread_mutex_init(&database->overlay_mutex, NULL);
    database->last_in_flight = &database->first_in_flight;
    database->maximum_transaction_pages = DEFAULT_MAXIMUM_TRANSACTION_PAGES;
    if (options != NULL && options->maximum_transaction_pages > 0) {
        database->maximum_transaction_pages = options->maximum_transaction_pages;
    }
    uint32_t nPage = 0;
    int rc = rp_file_open(&database->file, path, options == NULL ? NULL : options->file_calls);
    if (rc == SQLITE_OK) rc = file_pages(database, &nPage);
    if (rc == SQLITE_OK) {
        database->committed = rp_view_create(database, RP_COMMITTED);
        if (database->committed == NULL) rc = SQLITE_NOMEM;
    }
    if (rc == SQLITE_OK) {
        rp_wal_index_restart_marks(&database->committed->index, 0);
        rp_wal_index_publish(&database->committed->index, 0, nPage);
        rc = rp_vfs_register(&database->vfs[RP_COMMITTED], database, RP_COMMITTED);
    }
    if (rc == SQLITE_OK) rc = rp_vfs_register(&database->vfs[RP_OVERLAY], database, RP_OVERLAY);
    if (rc != SQLITE_OK) {
        free_database(database);
        return rc;
    }
    *out = database;
    return SQLITE_OK;
}

int rp_close(rp_database *database) {
    if (database == NULL) return SQLITE_OK;
    if (atomic_load(&database->connections) > 0) return SQLITE_BUSY;
    rp_overlay_doom(database);
    if (atomic_load(&database->batches) > 0) return SQLITE_BUSY;
    free_database(database);
    return SQLITE_OK;
}

void rp_get_statistics(rp_database *database, rp_statistics *out) {
    memset(out, 0, sizeof *out);
    pthread_mutex_lock(&database->apply);
    out->applied_index = database->applied_index;
    out->backfilled_index = database->backfilled_index;
    out->committed_frames = rp_wal_index_mxFrame(&database->committed->index);
    out->backfilled_frames = rp_wal_index_nBackfill(&database->committed->index);
    pthread_mutex_lock(&database->overlay_mutex);
    out->captured_sequence = database->sequence;
    out->applied_sequence = database->applied_sequence;
    out->overlay_frames = database->overlay == NULL ? 0 : rp_wal_index_mxFrame(&database->overlay->index);
    out->uncut_pages = database->uncut == NULL ? 0 : database->uncut->count;
    out->batches_in_flight = database->batches_in_flight;
    pthread_mutex_unlock(&database->overlay_mutex);
    pthread_mutex_unlock(&database->apply);
    out->connections = atomic_load(&database->connections);
    out->page_buffers = atomic_load(&database->live_pages);
    out->refused_recoveries = atomic_load(&database->refused_recoveries);
    out->refused_frame_writes = atomic_load(&database->refused_frame_writes);
}

// MARK: Apply

static void *grown(void *array, size_t size, uint32_t count, uint32_t *capacity) {
    if (count < *capacity) return array;
    uint32_t larger = *capacity == 0 ? 64 : 2 * *capacity;
    void *moved = realloc(array, larger * size);
    if (moved != NULL) *capacity = larger;
    return moved;
}

// Makes room for `count` more frames and their commit, so that what follows cannot fail.
static int reserve(rp_database *database, uint32_t mxFrame, uint32_t count) {
    if (count > MAXIMUM_FRAMES - mxFrame) return SQLITE_FULL;
    int rc = rp_view_reserve(database->committed, mxFrame + count);
    if (rc == SQLITE_OK) rc = rp_wal_index_reserve(&database->committed->index, mxFrame + count);
    if (rc != SQLITE_OK) return rc;
    rp_commit *commits =
        grown(database->commits, sizeof *commits, database->commit_count, &database->commit_capacity);
    if (commits == NULL) return SQLITE_NOMEM;
    database->commits = commits;
    return SQLITE_OK;
}

// The frames after mxFrame up to `last` are there: makes them visible, all at once.
static void publish(rp_database *database, uint64_t index, uint32_t mxFrame, uint32_t last, uint32_t nPage) {
    rp_view *view = database->committed;
    for (uint32_t i = mxFrame + 1; i <= last; i++) {
        rp_wal_index_append(&view->index, i, get4byte(rp_view_frame(view, i)->header));
    }
    if (last > mxFrame) {
        rp_wal_index_publish(&view->index, last, nPage);
        database->commits[database->commit_count++] = (rp_commit){.index = index, .mxFrame = last, .nPage = nPage};
    }
    database->applied_index = index;
}

static int apply_batch(rp_database *database, rp_batch *batch, uint64_t index) {
    // The term's own, in their order; or, without an overlay, anything.
    if (database->overlay != NULL && database->first_in_flight != batch) return SQLITE_MISUSE;
    WalIndexHdr header = rp_wal_index_header(&database->committed->index);
    int rc = reserve(database, header.mxFrame, batch->count);
    if (rc != SQLITE_OK) return rc;
    rp_overlay_mark *marks = grown(database->marks, sizeof *marks, database->mark_count, &database->mark_capacity);
    if (marks == NULL) return SQLITE_NOMEM;
    database->marks = marks;

    uint32_t frame = header.mxFrame;
    for (uint32_t i = 0; i < batch->count; i++) {
        rp_view_set_frame(database->committed, ++frame, batch->pages[i].pgno, rp_page_retain(batch->pages[i].page));
    }
    publish(database, index, header.mxFrame, frame, batch->nPage);
    if (batch->is_in_flight) {
        database->marks[database->mark_count++] = (rp_overlay_mark){frame, batch->overlay_frame};
        database->applied_sequence = batch->last_sequence;
        database->first_in_flight = batch->next;
        if (database->first_in_flight == NULL) database->last_in_flight = &database->first_in_flight;
        database->batches_in_flight--;
        batch->is_in_flight = false;
        batch->next = NULL;
        rp_batch_release(batch);
    }
    return SQLITE_OK;
}

int rp_apply_batch(rp_database *database, rp_batch *batch, uint64_t index) {
    pthread_mutex_lock(&database->apply);
    pthread_mutex_lock(&database->overlay_mutex);
    bool fits = batch->database == database && batch->slots == NULL && index > database->applied_index;
    int rc = fits ? apply_batch(database, batch, index) : SQLITE_MISUSE;
    pthread_mutex_unlock(&database->overlay_mutex);
    pthread_mutex_unlock(&database->apply);
    return rc;
}

static int apply_pages(
    rp_database *database, uint64_t index, uint32_t count, const rp_page_image *pages, uint32_t commit_size) {
    rp_view *view = database->committed;
    WalIndexHdr header = rp_wal_index_header(&view->index);
    uint32_t nPage = commit_size > 0 ? commit_size : header.nPage;
    for (uint32_t i = 0; i < count; i++) {
        if (pages[i].number == 0 || pages[i].number == LOCK_BYTE_PAGE) return SQLITE_CORRUPT;
        if (pages[i].number == 1 && commit_size == 0) nPage = get4byte((const uint8_t *)pages[i].bytes + 28);
    }
    if (nPage == 0) return SQLITE_CORRUPT;
    int rc = reserve(database, header.mxFrame, count);
    for (uint32_t i = 0; i < count && rc == SQLITE_OK; i++) {
        rp_page *page = rp_page_create(&database->live_pages);
        if (page == NULL) {
            rc = SQLITE_NOMEM;
            break;
        }
        memcpy(page->bytes, pages[i].bytes, RP_PAGE_SIZE);
        rp_view_set_frame(view, header.mxFrame + 1 + i, pages[i].number, page);
    }
    if (rc == SQLITE_OK) {
        publish(database, index, header.mxFrame, header.mxFrame + count, nPage);
    } else {
        rp_view_truncate(view, header.mxFrame);
    }
    return rc;
}

int rp_apply(
    rp_database *database, uint64_t index, uint32_t count, const rp_page_image *pages, uint32_t commit_size) {
    pthread_mutex_lock(&database->apply);
    pthread_mutex_lock(&database->overlay_mutex);
    bool is_follower = database->overlay == NULL;
    pthread_mutex_unlock(&database->overlay_mutex);
    int rc = SQLITE_MISUSE; // an overlay would not have these pages
    if (is_follower && index > database->applied_index) rc = apply_pages(database, index, count, pages, commit_size);
    pthread_mutex_unlock(&database->apply);
    return rc;
}
