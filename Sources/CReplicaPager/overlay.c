// The overlay: a copy of the committed view by reference, on which the transactions of one term run ahead of consensus.

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

// MARK: Building

static uint32_t append_page(rp_view *view, uint32_t frame, uint32_t pgno, rp_page *page) {
    rp_view_set_frame(view, frame + 1, pgno, rp_page_retain(page));
    rp_wal_index_append(&view->index, frame + 1, pgno);
    return frame + 1;
}

static uint32_t append_batch(rp_view *view, uint32_t frame, rp_batch *batch) {
    for (uint32_t i = 0; i < batch->count; i++) {
        rp_batch_page_entry *entry = &batch->pages[i];
        entry->overlay_frame = 0;
        if (entry->pgno > batch->nPage) continue;
        frame = append_page(view, frame, entry->pgno, entry->page);
        entry->overlay_frame = frame;
    }
    batch->overlay_frame = frame;
    return frame;
}

// Makes the overlay's WAL: what the committed view has and the file has not, then what is pending. The apply and
// overlay mutexes are held, nobody has a snapshot of the overlay. A page that is copied into the file later is then
// always found in the overlay's WAL, so a snapshot of the overlay never reads from the file what is being written.
static int build(rp_database *database, rp_view *overlay) {
    rp_view *committed = database->committed;
    WalIndexHdr header = rp_wal_index_header(&committed->index);
    uint32_t nBackfill = rp_wal_index_nBackfill(&committed->index);
    uint32_t count = header.mxFrame - nBackfill;
    for (rp_batch *batch = database->first_in_flight; batch != NULL; batch = batch->next) count += batch->count;
    if (database->uncut != NULL) count += database->uncut->count;

    // Everything that can fail comes first.
    int rc = rp_view_reserve(overlay, count);
    if (rc == SQLITE_OK) rc = rp_wal_index_reserve(&overlay->index, count);
    if (rc == SQLITE_OK && database->mark_capacity == 0) {
        database->marks = malloc(64 * sizeof *database->marks);
        if (database->marks == NULL) return SQLITE_NOMEM;
        database->mark_capacity = 64;
    }
    if (rc != SQLITE_OK) return rc;

    rp_view_truncate(overlay, 0);
    uint32_t frame = 0, nPage = header.nPage;
    for (uint32_t i = nBackfill + 1; i <= header.mxFrame; i++) {
        rp_frame *source = rp_view_frame(committed, i);
        frame = append_page(overlay, frame, get4byte(source->header), atomic_load(&source->page));
    }
    database->marks[0] = (rp_overlay_mark){.committed = header.mxFrame, .overlay = frame};
    database->mark_count = 1;
    for (rp_batch *batch = database->first_in_flight; batch != NULL; batch = batch->next) {
        frame = append_batch(overlay, frame, batch);
        nPage = batch->nPage;
    }
    if (database->uncut != NULL) {
        frame = append_batch(overlay, frame, database->uncut);
        nPage = database->uncut->nPage;
    }
    overlay->captured = frame;
    rp_wal_index_restart_marks(&overlay->index, frame);
    rp_wal_index_publish(&overlay->index, frame, nPage);
    return SQLITE_OK;
}

int rp_overlay_begin(rp_database *database, uint64_t term) {
    rp_view *overlay = rp_view_create(database, RP_OVERLAY);
    if (overlay == NULL) return SQLITE_NOMEM;
    overlay->term = term;
    pthread_mutex_lock(&database->apply);
    pthread_mutex_lock(&database->overlay_mutex);
    int rc = database->overlay != NULL ? SQLITE_MISUSE : build(database, overlay);
    if (rc == SQLITE_OK) database->overlay = overlay;
    pthread_mutex_unlock(&database->overlay_mutex);
    pthread_mutex_unlock(&database->apply);
    if (rc != SQLITE_OK) rp_view_release(overlay);
    return rc;
}

int rp_overlay_rebuild(rp_database *database) {
    // Not RECOVER: a reader that meets the header while it is changed asks for that, and would fail with
    // SQLITE_BUSY_RECOVERY instead of trying again.
    const uint8_t slots = (uint8_t)~(1u << WAL_RECOVER_LOCK);
    pthread_mutex_lock(&database->apply);
    pthread_mutex_lock(&database->overlay_mutex);
    rp_view *overlay = database->overlay;
    int rc = overlay == NULL ? RP_NOT_LEADER : SQLITE_BUSY;
    if (overlay != NULL && rp_wal_index_try_exclude(&overlay->index, slots)) {
        rc = build(database, overlay);
        rp_wal_index_readmit(&overlay->index, slots);
    }
    pthread_mutex_unlock(&database->overlay_mutex);
    pthread_mutex_unlock(&database->apply);
    return rc;
}

// MARK: Doom

void rp_overlay_doom_locked(rp_database *database) {
    rp_view *overlay = database->overlay;
    if (overlay == NULL) return;
    atomic_store_explicit(&overlay->doomed, true, memory_order_release);
    while (database->first_in_flight != NULL) {
        rp_batch *batch = database->first_in_flight;
        database->first_in_flight = batch->next;
        batch->is_in_flight = false;
        rp_batch_release(batch);
    }
    database->last_in_flight = &database->first_in_flight;
    database->batches_in_flight = 0;
    rp_batch_release(database->uncut);
    database->uncut = NULL;
    database->mark_count = 0;
    database->overlay = NULL;
    rp_view_release(overlay); // its connections keep it
}

void rp_overlay_doom(rp_database *database) {
    pthread_mutex_lock(&database->overlay_mutex);
    rp_overlay_doom_locked(database);
    pthread_mutex_unlock(&database->overlay_mutex);
}

// MARK: Gates and limits

// SQLite publishes the header of a transaction before it releases the WRITE lock, so before the capture gives it a
// number: somebody who sees the transaction could take the number before it for what they have seen.
int rp_connection_gate(sqlite3 *connection, uint64_t *sequence) {
    rp_main_file *file = rp_main_file_of(connection);
    if (file == NULL || file->view->kind != RP_OVERLAY) return SQLITE_MISUSE;
    rp_view *overlay = file->view;
    rp_database *database = overlay->database;
    for (;;) {
        pthread_mutex_lock(&database->overlay_mutex);
        bool is_void = rp_view_is_void(overlay);
        bool is_captured = overlay->captured >= rp_wal_index_mxFrame(&overlay->index);
        *sequence = database->sequence;
        pthread_mutex_unlock(&database->overlay_mutex);
        if (is_void) return RP_NOT_LEADER;
        if (is_captured || RP_DEFECT == DEFECT_GATE_DOES_NOT_WAIT) return SQLITE_OK;
        sched_yield();
    }
}

// How far the file may go for the snapshots of the overlay: a snapshot that is not below a mark has every page up to it
// in its own WAL. A doomed overlay sets no limit: its connections get errors instead of pages.
uint32_t rp_overlay_backfill_limit(rp_database *database) {
    if (database->overlay == NULL || RP_DEFECT == DEFECT_OVERLAY_MARKS_IGNORED) return READMARK_NOT_USED;
    uint32_t held = rp_wal_index_lowest_held_mark(&database->overlay->index);
    for (uint32_t i = database->mark_count; i > 0; i--) {
        if (database->marks[i - 1].overlay <= held) return database->marks[i - 1].committed;
    }
    return 0;
}
