import DqliteLog
import DqliteRaft

/// Checkpoints: intent, pages, sync, done, and then the head of the log (rules 2, 22 and 23).
extension ModelDatabase {
    func run() { if let interval = self.plan.checkpointInterval { self.checkpointLater(interval) } }

    private func checkpointLater(_ interval: VirtualTime) {
        self.node.after(.microseconds(interval.microseconds / 2)...interval) {
            self.checkpoint()
            self.checkpointLater(interval)
        }
    }

    private func checkpoint() {
        guard !self.isCheckpointing, !self.node.isInstalling, !self.node.isEnding, self.view.isOpen,
            self.node.underWay[Node.Lane.file.rawValue] == nil
        else { return }
        let beyond = self.cluster.defect == .checkpointBeyondDurable
        let target = beyond ? self.view.applied : min(self.view.applied, self.node.storage.log.durableIndex)
        guard target > self.marks.done else { return }
        let images = self.view.images(through: target)
        self.isCheckpointing = true
        self.cluster.checks.count("checkpoints")
        let generation = self.generation
        let write = { self.writePages(images[...], through: target, generation) }
        if self.cluster.defect == .pagesBeforeIntent { write() }
        self.mark(CheckpointMarks(intent: max(target, self.marks.intent), done: self.marks.done), generation) {
            if self.cluster.defect != .pagesBeforeIntent { write() }
        }
    }

    /// Makes marks durable.
    private func mark(_ marks: CheckpointMarks, _ generation: Int, then: @escaping () -> Void) {
        self.marks.intent = max(self.marks.intent, marks.intent)
        self.node.offers.append(
            LogOffer { log, ticket throws(LogError) in
                try log.mark(DatabaseFiles.database, marks, ticket: ticket)
            } then: {
                guard self.generation == generation else { return }
                self.marks = marks
                then()
            } refused: {
                if self.generation == generation { self.isCheckpointing = false }
            })
    }

    private func writePages(
        _ images: ArraySlice<(number: Int, page: Page)>, through target: LogIndex, _ generation: Int
    ) {
        guard self.generation == generation else { return }
        guard let (number, page) = images.first else { return self.syncPages(through: target, generation) }
        self.node.work(in: .file) {
            Result { try self.files.write(page.bytes, at: number * Page.size) }
        } then: { result in
            guard case .success = result else { return self.node.fail() }
            self.writePages(images.dropFirst(), through: target, generation)
        }
    }

    private func syncPages(through target: LogIndex, _ generation: Int) {
        let marks = CheckpointMarks(intent: max(target, self.marks.intent), done: target)
        if self.cluster.defect == .doneBeforeSync {
            return self.mark(marks, generation) { self.done(through: target) }
        }
        self.node.work(in: .file) {
            Result { try self.files.sync() }
        } then: { result in
            guard case .success = result else { return self.node.fail() }
            guard self.generation == generation else { return }
            self.mark(marks, generation) { self.done(through: target) }
        }
    }

    private func done(through target: LogIndex) {
        self.view.saved(through: target)
        self.isCheckpointing = false
        self.node.releaseLog(through: self.cluster.defect == .releasesTooMuch ? self.view.applied : target)
    }

    // MARK: Copies

    func beginCopy(_ number: UInt64) -> (any CopySource)? { ModelCopy(of: self) }

    func release() {
        self.isCheckpointing = false
        self.generation += 1
    }

    func use(_ copy: DatabaseFiles.Copy) throws {
        let pages = Page.pages(try self.files.content() ?? [])
        self.marks = copy.marks
        self.view = View(pages: pages, applied: copy.snapshot.index, opensAt: copy.intent)
        self.dropEntries()
    }
}

/// A copy of a model's file.
private final class ModelCopy: CopySource {
    private let database: ModelDatabase
    private var next = 0
    let start: LogIndex

    init(of database: ModelDatabase) {
        self.database = database
        self.start = database.marks.done
    }

    var isComplete: Bool { self.next == self.database.shape.pageCount }

    func read() throws -> [UInt8] {
        let pages = self.next..<min(self.next + 5, self.database.shape.pageCount)
        self.next = pages.upperBound
        return try self.database.files.read(pages.lowerBound * Page.size..<pages.upperBound * Page.size)
    }

    func end() -> LogIndex {
        self.database.cluster.defect == .copyWithoutIntent ? self.start : self.database.marks.intent
    }
}
