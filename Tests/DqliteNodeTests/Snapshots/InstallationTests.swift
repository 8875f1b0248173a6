import DqliteLog
import DqliteRaft
import Foundation
import LogSimulation
import Synchronization
import Testing

@testable import DqliteEngine
@testable import DqliteNode

/// A snapshot replaces what a node had, as a whole or not at all.
@Suite struct InstallationTests {
    private static let names = ["one.db", "two.db"]

    /// A leader, a snapshot of it whose files are torn, and what its databases are in the end. Besides a follower that has stopped,
    /// with databases of its own: one that the snapshot replaces, and one that it has not.
    private struct Scene {
        let leader: SimulatedNode
        let content: SnapshotContent
        let final: [[UInt8]]
        let old: SnapshotFollower
        let oldDumps: [[UInt8]]
        static let oldNames = ["one.db", "old.db"]

        init() throws {
            let (leader, client) = try CopyTests.leader(rows: 6, term: 3)
            let other = try leader.session("two.db")
            try other.exec("CREATE TABLE u (a)")
            try CopyTests.checkpoint(leader, of: "two.db")
            self.content = try SnapshotContent(of: leader, chunkSize: 12_288) { name, chunk in
                guard name == "one.db", chunk == 1 else { return }
                try client.exec("UPDATE t SET round = 1")
                try CopyTests.checkpoint(leader)
            }
            try other.exec("INSERT INTO u VALUES (1)")
            self.leader = leader
            self.final = try InstallationTests.names.map { try leader.engine!.dumped($0) }

            self.old = try SnapshotFollower()
            #expect(try self.old.open() == nil)
            try self.old.openEngine()
            let (source, writer) = try CopyTests.leader(rows: 2)
            try source.session("old.db").exec("CREATE TABLE o (a)")
            try writer.exec("UPDATE t SET round = 7")
            try self.old.append(from: source.log!)
            try self.old.apply()
            try self.old.engine!.recovered()
            self.oldDumps = try Self.oldNames.map { try source.engine!.dumped($0) }
            self.old.stop()
        }

        /// The follower, as it was.
        func follower(seed: Int = 1) throws -> SnapshotFollower {
            let follower = try SnapshotFollower(as: self.old, seed: UInt64(seed))
            #expect(try follower.open() == nil)
            try follower.openEngine()
            return follower
        }

        /// The node starts as it was.
        func checkOld(_ follower: SnapshotFollower) throws {
            try follower.openEngine()
            try follower.apply()
            try follower.engine!.recovered()
            #expect(try Self.oldNames.map { try follower.dump($0) } == self.oldDumps)
        }
    }

    /// Made once. Tests only read of it.
    nonisolated(unsafe) private static let made = Result { try Scene() }

    private static func checkNew(_ follower: SnapshotFollower, _ scene: Scene) throws {
        let log = follower.log!
        #expect(log.term(of: scene.content.metadata.index) == scene.content.metadata.term)
        #expect(follower.hasConfiguration(of: scene.content.metadata))
        let marks = log.status.checkpoints
        #expect(marks["old.db"] == nil)
        for file in scene.content.files {
            #expect(marks[file.name]?.done == scene.content.metadata.index)
            #expect(marks[file.name]?.intent == max(file.intent, scene.content.metadata.index))
        }
        try follower.openEngine()
        #expect(follower.engine?.recoveryTarget == scene.content.newestIntent)
        #expect(throws: EngineError.self) { try follower.engine?.recovered() }
        try follower.append(from: scene.leader.log!)
        try follower.apply()
        try follower.engine?.recovered()
        #expect(try Self.names.map { try follower.dump($0) } == scene.final)
        for name in ["incoming", "installing", "replaced", "databases/old.db"] {
            #expect(!FileManager.default.fileExists(atPath: "\(follower.directory!.path)/\(name)"))
        }
    }

    /// Steps that were taken, and where the power fails.
    private final class Steps: Sendable {
        private let taken = Mutex<[InstallationStep]>([])
        let limit: Int

        init(limit: Int = .max) { self.limit = limit }

        var all: [InstallationStep] { self.taken.withLock { $0 } }

        func take(_ step: InstallationStep, failPower: () -> Void) throws(SnapshotError) {
            let count = self.taken.withLock { taken in
                taken.append(step)
                return taken.count
            }
            guard count > self.limit else { return }
            if count == self.limit + 1 { failPower() }
            throw SnapshotError(.disk, "the power failed")
        }
    }

    /// - Returns: Whether everything was done before the power failed.
    private static func run(_ old: SnapshotFollower, _ content: SnapshotContent, _ steps: Steps) throws -> Bool {
        // Hooks are called on this thread.
        nonisolated(unsafe) let follower = old
        let hook: InstallationStepHook = { step throws(SnapshotError) in
            try steps.take(step) { follower.failPower() }
        }
        do {
            let installation = try content.receive(in: follower.directory!, step: hook)
            return try follower.install(installation) == .installed
        } catch is SnapshotError {
            return false
        }
    }

    // MARK: Tests

    @Test("received, installed, and in order: files before the record, all before it counts, old ones last")
    func order() throws {
        let scene = try Self.made.get()
        let follower = try scene.follower()
        let steps = Steps()
        #expect(try Self.run(follower, scene.content, steps))
        #expect(
            steps.all.filter { if case .writeFile = $0 { false } else { true } } == [
                .beginFile("one.db"), .endFile("one.db"), .beginFile("two.db"), .endFile("two.db"), .writeRecord,
                .syncReceived, .commit, .syncCommit, .resetLog, .saveConfiguration, .forgetMarks("old.db"),
                .markDone("one.db"), .markIntent("one.db"), .markDone("two.db"), .moveOldFiles, .moveNewFiles,
                .syncMoves, .retireRecord, .syncRetirement, .cleanUp,
            ])
        try Self.checkNew(follower, scene)
    }

    @Test("a crash at any step leaves the old state or the new one, and so does a second crash")
    func crashes() throws {
        let scene = try Self.made.get()
        var limit = 0
        var (olds, news) = (0, 0)
        while true {
            let follower = try scene.follower(seed: limit + 1)
            let steps = Steps(limit: limit)
            let isDone = try Self.run(follower, scene.content, steps)
            if isDone, steps.all.count <= limit { break }
            let isNew = steps.all.contains(.syncCommit)
            try self.restart(follower, scene, secondLimit: limit % 14, isNew: isNew)
            if isNew { news += 1 } else { olds += 1 }
            limit += 1
        }
        #expect(olds >= 10)
        #expect(news >= 12)
    }

    private func restart(_ old: SnapshotFollower, _ scene: Scene, secondLimit: Int, isNew: Bool) throws {
        // Hooks are called on this thread.
        nonisolated(unsafe) let follower = old
        follower.restart()
        let again = Steps(limit: secondLimit)
        var outcome: SnapshotInstallation.Outcome?
        do {
            outcome = try follower.open { step throws(SnapshotError) in
                try again.take(step) { follower.failPower() }
            }
        } catch is SnapshotError {
            follower.restart()
            outcome = try follower.open()
        }
        // When the record was retired before the crash there is nothing left to do.
        if outcome == nil, !isNew {
            try scene.checkOld(follower)
        } else {
            #expect(isNew)
            try Self.checkNew(follower, scene)
        }
        follower.stop()
    }

    @Test("a crash at any write or sync of the log while a snapshot is installed")
    func crashesOfTheLog() throws {
        let scene = try Self.made.get()
        var isDone = false
        var steps = 0
        while !isDone {
            let follower = try scene.follower(seed: steps + 1)
            isDone = try Self.install(scene.content, on: follower, stepsToCrash: steps)
            follower.restart()
            #expect(try follower.open() == (isDone ? nil : .installed))
            try Self.checkNew(follower, scene)
            steps += 1
        }
        #expect(steps > 6)
    }

    @Test("a log that holds the entry of the snapshot, or begins after it, stays as it is, and so do the files")
    func newerLog() throws {
        let scene = try Self.made.get()
        let metadata = scene.content.metadata
        let ahead = try SnapshotFollower()
        #expect(try ahead.open() == nil)
        try ahead.append(from: scene.leader.log!)
        let last = try #require(ahead.log?.status.lastIndex)
        #expect(last > metadata.index)
        #expect(try ahead.install(scene.content.receive(in: ahead.directory!)) == .outdated)
        #expect(ahead.log?.status.lastIndex == last)
        #expect(ahead.log?.status.checkpoints.isEmpty ?? false)

        let newer = try SnapshotFollower()
        #expect(try newer.open() == nil)
        try newer.log!.save(HardState(term: metadata.term, vote: nil))
        try newer.log!.reset(to: metadata.index.next, term: metadata.term)
        #expect(try newer.install(scene.content.receive(in: newer.directory!)) == .outdated)
        #expect(newer.log?.status.firstIndex == metadata.index.next.next)

        // One that was installed and has got entries since then; before that it makes no difference.
        let again = try SnapshotFollower()
        #expect(try again.open() == nil)
        #expect(try again.install(scene.content.receive(in: again.directory!)) == .installed)
        #expect(try again.install(scene.content.receive(in: again.directory!)) == .installed)
        try again.append(from: scene.leader.log!)
        #expect(try again.install(scene.content.receive(in: again.directory!)) == .outdated)
        for follower in [ahead, newer, again] {
            #expect(!FileManager.default.fileExists(atPath: follower.directory!.installing))
            #expect(!FileManager.default.fileExists(atPath: follower.directory!.incoming))
        }
    }

    private static func install(
        _ content: SnapshotContent, on follower: SnapshotFollower, stepsToCrash: Int
    ) throws -> Bool {
        let installation = try content.receive(in: follower.directory!)
        follower.engine!.close()
        follower.disk.faults.stepsToCrash = stepsToCrash
        do {
            return try follower.install(installation) == .installed
        } catch let error as SnapshotError {
            #expect(error.code == .log)
            return false
        }
    }

    @Test("a record that is damaged is said to be so, and nothing is changed")
    func damage() throws {
        let scene = try Self.made.get()
        let follower = try SnapshotFollower()
        #expect(try follower.open() == nil)
        let directory = try #require(follower.directory)
        _ = try scene.content.receive(in: directory)
        let path = directory.installing + "/record"
        let whole = try #require(FileManager.default.contents(atPath: path))
        for position in stride(from: 0, to: whole.count, by: 5) {
            var damaged = whole
            damaged[position] ^= 0x20
            try damaged.write(to: URL(filePath: path))
            let error = #expect(throws: SnapshotError.self) { try SnapshotInstallation.find(in: directory) }
            #expect(error?.code == .damaged)
            try whole.prefix(position).write(to: URL(filePath: path))
            #expect(throws: SnapshotError.self) { try SnapshotInstallation.find(in: directory) }
        }
        try whole.write(to: URL(filePath: path))
        let found = try #require(try SnapshotInstallation.find(in: directory))
        #expect(found.metadata == scene.content.metadata)
        #expect(found.newestIntent == scene.content.newestIntent)
        #expect(found.databases.map(\.name) == Self.names)
    }
}
