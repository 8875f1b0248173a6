import DqliteRaft
import NIOCore

/// What a connection does about the snapshot that it brings. Called on its loop.
protocol SnapshotReceptionDelegate: AnyObject {
    /// The snapshot is wanted, and what it consists of may come.
    func accepted()
    /// What came is written, so many bytes by now: more may come.
    func written(size: Int)
    /// The snapshot counts.
    func finished(_ installation: SnapshotInstallation)
    /// It is given up.
    func gaveUp(_ error: SnapshotError)
}

/// A snapshot on its way from a connection to the disk: offered, begun, written and finished, one step at a time, in whatever form
/// it comes. Used on the loop of the connection.
final class SnapshotReception {
    enum State {
        case waitingForOffer
        /// Something is under way.
        case busy
        case receiving
        case over
    }

    private(set) var state = State.waitingForOffer
    /// Of the snapshot that was offered.
    private(set) var metadata: SnapshotMetadata?
    weak var delegate: (any SnapshotReceptionDelegate)?
    let settings: SnapshotSettings
    private let directory: DataDirectory
    private let threads: DiskThreads
    private let step: InstallationStepHook
    private let accept: @Sendable (SnapshotOffer, EventLoopPromise<Void>) -> Void
    private let completed: @Sendable (Result<SnapshotInstallation, SnapshotError>) -> Void
    private var snapshot: IncomingSnapshot?
    /// Whether what is under way may end in a snapshot that counts.
    private var isFinishing = false
    private var eventLoop: (any EventLoop)?
    private var timeout: Scheduled<Void>?

    /// - Parameters:
    ///   - directory: Where it is received.
    ///   - accept: Asked whether the snapshot is wanted: succeeds the promise, or fails it with why not.
    ///   - completed: Told once, on the event loop, of the snapshot that is durable and is to be installed, or why there is none.
    init(
        directory: DataDirectory, settings: SnapshotSettings, threads: DiskThreads,
        step: @escaping InstallationStepHook = { _ in },
        accept: @escaping @Sendable (SnapshotOffer, EventLoopPromise<Void>) -> Void,
        completed: @escaping @Sendable (Result<SnapshotInstallation, SnapshotError>) -> Void
    ) {
        self.directory = directory
        self.settings = settings
        self.threads = threads
        self.step = step
        self.accept = accept
        self.completed = completed
    }

    func begin(on eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        self.awaitBytes()
    }

    /// Gives up if nothing comes for long.
    func awaitBytes() {
        self.timeout?.cancel()
        self.timeout = self.eventLoop?.assumeIsolated().scheduleTask(in: TimeAmount(self.settings.timeout)) {
            self.fail(SnapshotError(.connection, "the sender sent nothing for \(self.settings.timeout)"))
        }
    }

    private func becomeBusy() {
        self.state = .busy
        self.timeout?.cancel()
        self.timeout = nil
    }

    // MARK: Steps

    /// Has it decided whether a snapshot is wanted.
    func decide(_ offer: SnapshotOffer) {
        guard case .waitingForOffer = self.state, let eventLoop = self.eventLoop else { return }
        self.becomeBusy()
        self.metadata = offer.metadata
        let decision = eventLoop.makePromise(of: Void.self)
        self.accept(offer, decision)
        decision.futureResult.assumeIsolated().whenComplete { result in
            switch result {
            case .success: self.begin(offer, on: eventLoop)
            case .failure(let error):
                self.fail(error as? SnapshotError ?? SnapshotError(.refused, "the snapshot is refused: \(error)"))
            }
        }
    }

    private func begin(_ offer: SnapshotOffer, on eventLoop: any EventLoop) {
        guard case .busy = self.state else { return }
        let made = self.threads.run(on: eventLoop) {
            [directory = self.directory, limit = self.settings.maximumDatabases, step = self.step] in
            try IncomingSnapshot(in: directory, metadata: offer.metadata, maximumDatabases: limit, step: step)
        }
        made.assumeIsolated().whenComplete { result in
            switch result {
            case .success(let snapshot):
                self.snapshot = snapshot
                // Given up meanwhile.
                guard case .busy = self.state else { return self.discard() }
                self.state = .receiving
                self.delegate?.accepted()
            case .failure(let error): self.fail(Self.error(error))
            }
        }
    }

    /// Writes what has come.
    func work(_ body: @escaping @Sendable (IncomingSnapshot) throws(SnapshotError) -> Void) {
        guard case .receiving = self.state, let snapshot = self.snapshot, let eventLoop = self.eventLoop else { return }
        self.becomeBusy()
        let size = self.threads.run(on: eventLoop) {
            try body(snapshot)
            return snapshot.size
        }
        size.assumeIsolated().whenComplete { result in
            // Given up meanwhile.
            guard case .busy = self.state else { return self.discard() }
            self.state = .receiving
            switch result {
            case .success(let size): self.delegate?.written(size: size)
            case .failure(let error): self.fail(Self.error(error))
            }
        }
    }

    /// All has come.
    func finish(_ newestIntent: LogIndex) {
        guard case .receiving = self.state, let snapshot = self.snapshot, let eventLoop = self.eventLoop else { return }
        self.becomeBusy()
        self.isFinishing = true
        let installation = self.threads.run(on: eventLoop) { try snapshot.finish(newestIntent: newestIntent) }
        installation.assumeIsolated().whenComplete { result in
            self.isFinishing = false
            self.state = .receiving
            switch result {
            case .success(let installation):
                self.state = .over
                self.snapshot = nil
                self.delegate?.finished(installation)
                self.completed(.success(installation))
            case .failure(let error): self.fail(Self.error(error))
            }
        }
    }

    // MARK: Ends

    private static func error(_ error: any Error) -> SnapshotError {
        error as? SnapshotError ?? SnapshotError(.cancelled, "the node is shutting down: \(error)")
    }

    /// Gives up, unless that was done, or the snapshot may count already: what becomes of it is told then.
    func fail(_ error: SnapshotError) {
        if case .over = self.state { return }
        if self.isFinishing { return }
        self.timeout?.cancel()
        self.timeout = nil
        let wasBusy = if case .busy = self.state { true } else { false }
        self.state = .over
        self.delegate?.gaveUp(error)
        // A thread that is at it does it afterwards.
        if !wasBusy { self.discard() }
        self.completed(.failure(error))
    }

    private func discard() {
        guard let snapshot = self.snapshot.take(), let eventLoop = self.eventLoop else { return }
        _ = self.threads.run(on: eventLoop) { snapshot.discard() }
    }
}
