import DqliteLog
import DqliteRaft
import Foundation
import Logging
import Synchronization
import TestSupport
import Testing

@testable import DqliteEngine
@testable import DqliteNode

/// The driver on a real log and engine, with members that agree to everything.
@Suite struct RaftDriverTests {
    /// Members that vote for whoever asks, and have whatever they are sent.
    private final class Followers: RaftTransport {
        private let driver = Mutex<RaftDriver?>(nil)
        private let heartbeats = Mutex(0)
        private let condition = Condition()

        func serve(_ driver: RaftDriver?) { self.driver.withLock { $0 = driver } }
        func update(_ configuration: Configuration) {}
        func send(_ message: ReadIndexMessage, to node: NodeID) {}

        func send(_ envelopes: [Envelope]) {
            guard let driver = self.driver.withLock({ $0 }) else { return }
            for envelope in envelopes {
                let answer: Message
                switch envelope.message {
                case .requestVote(let request):
                    answer = .requestVoteResult(
                        RequestVoteResult(term: request.term, granted: true, preVote: request.preVote))
                case .appendEntries(let request):
                    if request.entries.isEmpty {
                        self.condition.withLock {
                            self.heartbeats.withLock { $0 += 1 }
                            self.condition.broadcast()
                        }
                    }
                    let last = LogIndex(request.previousIndex.rawValue + UInt64(request.entries.count))
                    answer = .appendEntriesResult(
                        AppendEntriesResult(term: request.term, lastLogIndex: last, round: request.round))
                case .requestVoteResult, .appendEntriesResult, .installSnapshot, .timeoutNow: continue
                }
                // Whoever sends holds the driver's lock.
                _ = startThread { driver.append(.message(answer, from: envelope.to)) }
            }
        }

        /// Waits until so many more heartbeats were sent.
        ///
        /// - Returns: Whether they were, in 20 seconds.
        func awaitHeartbeats(_ count: Int) -> Bool {
            let limit = MonotonicInstant.now + .seconds(20)
            return self.condition.withLock {
                let wanted = self.heartbeats.withLock { $0 } + count
                while self.heartbeats.withLock({ $0 }) < wanted {
                    if !self.condition.wait(atMost: limit - .now), MonotonicInstant.now >= limit { return false }
                }
                return true
            }
        }
    }

    @Test func `Heartbeats go on while a proposal waits for a slow disk to make room`() async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "driver-\(UUID())").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let files = try HeldFiles(path + "/log")
        var configuration = LogConfiguration()
        configuration.segmentSize = 256 << 10
        let log = try Log(fileSystem: files, configuration: configuration)
        defer { log.close() }
        let servers = (1...3).map { Configuration.Server(id: NodeID($0), address: "node-\($0)", role: .voter) }
        try log.bootstrap(Configuration(servers: servers))

        let followers = Followers()
        var settings = RaftSettings()
        settings.tickInterval = .milliseconds(5)
        let leads = Condition()
        let isLeading = Mutex(false)
        let delegate = RaftDriver.Delegate(
            failed: { Issue.record("the node cannot go on: \($0)") },
            servingChanged: { isServing in
                leads.withLock {
                    isLeading.withLock { $0 = isServing }
                    leads.broadcast()
                }
            }, snapshotNeeded: { _ in })
        let driver = RaftDriver(
            id: NodeID(1), settings: settings, commitTimeout: .seconds(60), log: log, start: try log.start,
            engines: EngineSlot(), transport: followers, delegate: delegate, logger: Logger(label: "test"))
        followers.serve(driver)
        defer { followers.serve(nil) }
        let engine = try Engine(configuration: EngineConfiguration(directory: path + "/databases"), replicator: driver)
        defer { engine.close() }
        try driver.start(engine)
        defer { driver.stop() }

        let (goOn, accepted, isDone, all) = await onOwnThread { () -> (Bool, Int, Bool, Int) in
            leads.withLock { while !isLeading.withLock({ $0 }) { leads.wait() } }
            if !driver.isServing { Issue.record("it was said that the node serves, and it does not") }
            let term = driver.view.term
            // From here on no file can be made; one that is ready can be used.
            files.set(.held)
            let state = Mutex((accepted: 0, isDone: false))
            let changed = Condition()
            _ = startThread {
                for _ in 0..<8 {
                    do {
                        try driver.propose([UInt8](repeating: 1, count: 200_000), term: term) { _ in }
                        changed.withLock { state.withLock { $0.accepted += 1 } }
                    } catch {
                        Issue.record("refused: \(error)")
                    }
                }
                changed.withLock {
                    state.withLock { $0.isDone = true }
                    changed.broadcast()
                }
            }
            files.awaitWaiting()
            // Two voters, one heartbeat to each at a tick.
            let goOn = followers.awaitHeartbeats(100)
            let (accepted, isDone) = state.withLock { ($0.accepted, $0.isDone) }
            files.set(.open)
            changed.withLock { while !state.withLock({ $0.isDone }) { changed.wait() } }
            return (goOn, accepted, isDone, state.withLock { $0.accepted })
        }
        #expect(goOn)
        #expect(accepted < 8 && !isDone)
        #expect(all == 8)
        #expect(driver.isServing)
    }
}
