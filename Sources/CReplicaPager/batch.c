// What is replicated: the newest image of each page that the transactions since the last cut have written; and the
// capture of a transaction at its end.

#include <stdlib.h>
#include <string.h>

#include "internal.h"

// The slot of a page, or the free one where it belongs.
static uint32_t *slot_of(rp_batch *batch, uint32_t pgno) {
    uint32_t mask = 2 * batch->capacity - 1, slot = (pgno * 2654435761u) & mask;
    while (batch->slots[slot] != 0 && batch->pages[batch->slots[slot] - 1].pgno != pgno) slot = (slot + 1) & mask;
    return &batch->slots[slot];
}

static rp_batch *create(rp_database *database, uint64_t term) {
    rp_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) return NULL;
    atomic_init(&batch->references, 1);
    batch->database = database;
    batch->term = term;
    atomic_fetch_add(&database->batches, 1);
    return batch;
}

static rp_batch *retain(rp_batch *batch) {
    atomic_fetch_add_explicit(&batch->references, 1, memory_order_relaxed);
    return batch;
}

void rp_batch_release(rp_batch *batch) {
    if (batch == NULL) return;
    if (atomic_fetch_sub_explicit(&batch->references, 1, memory_order_acq_rel) != 1) return;
    for (uint32_t i = 0; i < batch->count; i++) rp_page_release(batch->pages[i].page);
    atomic_fetch_sub(&batch->database->batches, 1);
    free(batch->pages);
    free(batch->slots);
    free(batch);
}

static int reserve(rp_batch *batch, uint32_t additional) {
    uint32_t capacity = batch->capacity > 0 ? batch->capacity : 32;
    while (capacity < batch->count + additional) capacity *= 2;
    if (capacity == batch->capacity) return SQLITE_OK;
    uint32_t *slots = calloc(2 * (size_t)capacity, sizeof *slots);
    if (slots == NULL) return SQLITE_NOMEM;
    rp_batch_page_entry *pages = realloc(batch->pages, capacity * sizeof *pages);
    if (pages == NULL) {
        free(slots);
        return SQLITE_NOMEM;
    }
    free(batch->slots);
    batch->slots = slots;
    batch->pages = pages;
    batch->capacity = capacity;
    for (uint32_t i = 0; i < batch->count; i++) *slot_of(batch, pages[i].pgno) = i + 1;
    return SQLITE_OK;
}

// Puts a frame's page in the place of an older image. Returns the overlay's frame of that one, or 0. There is room.
static uint32_t put_frame(rp_batch *batch, uint32_t number, rp_frame *frame) {
    uint32_t pgno = get4byte(frame->header);
    uint32_t *slot = slot_of(batch, pgno);
    if (*slot == 0) {
        batch->pages[batch->count] = (rp_batch_page_entry){.pgno = pgno};
        *slot = ++batch->count;
    }
    rp_batch_page_entry *entry = &batch->pages[*slot - 1];
    uint32_t superseded = entry->overlay_frame;
    rp_page_release(entry->page);
    entry->page = rp_page_retain(atomic_load_explicit(&frame->page, memory_order_acquire));
    entry->overlay_frame = number;
    return superseded;
}

// MARK: Capture

// Frees the page of a frame that nobody can read again. A defect in that reasoning must not read another page instead.
static void forget_frame(rp_view *overlay, uint32_t number) {
    rp_frame *frame = rp_view_frame(overlay, number);
    put4byte(frame->header, 0);
    rp_page_release(atomic_exchange_explicit(&frame->page, NULL, memory_order_acq_rel));
}

// Puts the frames after `captured` up to mxFrame into the uncut batch. False: no memory.
//
// Transactions that run back to back write the same few pages over and over. The older image of a page in the same
// batch is then of use to an older snapshot only; if nobody holds one, nobody ever will, since the newer header is
// published. The writer's own snapshot is the new one already: sqlite3WalFrames has set it.
static bool put_transaction(rp_database *database, rp_main_file *file, uint32_t mxFrame) {
    rp_view *overlay = file->view;
    if (database->uncut == NULL) database->uncut = create(database, overlay->term);
    rp_batch *batch = database->uncut;
    if (batch == NULL || reserve(batch, mxFrame - overlay->captured) != SQLITE_OK) return false;
    uint32_t first = overlay->captured + 1;
    // One of several, and not page 1, so that nobody notices at once.
    if (RP_DEFECT == DEFECT_CAPTURE_MISSES_FRAME && mxFrame > first + 2) first += 2;
    bool forgets = !rp_wal_index_others_hold_snapshots(&overlay->index, &file->locks);
    if (RP_DEFECT == DEFECT_FORGETS_UNDER_SNAPSHOTS) forgets = true;
    for (uint32_t i = first; i <= mxFrame; i++) {
        uint32_t superseded = put_frame(batch, i, rp_view_frame(overlay, i));
        if (superseded > 0 && forgets) forget_frame(overlay, superseded);
    }
    batch->nPage = rp_wal_index_header(&overlay->index).nPage;
    batch->transactions++;
    batch->overlay_frame = mxFrame;
    batch->last_sequence = ++database->sequence;
    return true;
}

void rp_capture(rp_main_file *file) {
    rp_view *overlay = file->view;
    rp_database *database = overlay->database;
    pthread_mutex_lock(&database->overlay_mutex);
    uint32_t mxFrame = rp_wal_index_mxFrame(&overlay->index);
    if (mxFrame > overlay->captured) {
        if (database->overlay == overlay && !put_transaction(database, file, mxFrame)) {
            // The transaction is visible on the overlay and would be missing in the log.
            rp_overlay_doom_locked(database);
        }
        overlay->captured = mxFrame;
    }
    // What was spilled and rolled back. Not before: COMMIT that fails with SQLITE_BUSY leaves the transaction open.
    rp_view_truncate(overlay, mxFrame);
    pthread_mutex_unlock(&database->overlay_mutex);
}

// MARK: Cut

static int by_number(const void *a, const void *b) {
    uint32_t x = ((const rp_batch_page_entry *)a)->pgno, y = ((const rp_batch_page_entry *)b)->pgno;
    return x < y ? -1 : x > y;
}

// Pages above the final size were written, and then cut off by a VACUUM: nobody can read them again.
static void drop_pages_beyond_size(rp_batch *batch) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        if (batch->pages[i].pgno <= batch->nPage) {
            batch->pages[kept++] = batch->pages[i];
        } else {
            rp_page_release(batch->pages[i].page);
        }
    }
    batch->count = kept;
}

rp_batch *rp_cut(rp_database *database) {
    pthread_mutex_lock(&database->overlay_mutex);
    rp_batch *batch = database->uncut;
    if (batch != NULL) {
        database->uncut = NULL;
        drop_pages_beyond_size(batch);
        qsort(batch->pages, batch->count, sizeof *batch->pages, by_number);
        free(batch->slots);
        batch->slots = NULL;
        batch->is_in_flight = true;
        *database->last_in_flight = retain(batch);
        database->last_in_flight = &batch->next;
        database->batches_in_flight++;
    }
    pthread_mutex_unlock(&database->overlay_mutex);
    return batch;
}

uint32_t rp_uncut_pages(rp_database *database) {
    pthread_mutex_lock(&database->overlay_mutex);
    uint32_t count = database->uncut == NULL ? 0 : database->uncut->count;
    pthread_mutex_unlock(&database->overlay_mutex);
    return count;
}

bool rp_has_overlay(rp_database *database) {
    pthread_mutex_lock(&database->overlay_mutex);
    bool has_overlay = database->overlay != NULL;
    pthread_mutex_unlock(&database->overlay_mutex);
    return has_overlay;
}

uint32_t rp_batch_count(const rp_batch *batch) { return batch->count; }
uint32_t rp_batch_commit_size(const rp_batch *batch) { return batch->nPage; }
uint64_t rp_batch_last_sequence(const rp_batch *batch) { return batch->last_sequence; }
uint32_t rp_batch_transactions(const rp_batch *batch) { return batch->transactions; }
uint64_t rp_batch_term(const rp_batch *batch) { return batch->term; }

rp_page_image rp_batch_page(const rp_batch *batch, uint32_t position) {
    return (rp_page_image){.number = batch->pages[position].pgno, .bytes = batch->pages[position].page->bytes};
}
