import CReplicaPager
import DqliteRaft
import Foundation
import LogSimulation
import Synchronization
import TestSupport

@testable import DqliteEngine

/// Files of databases on the disk that the log is simulated on too: a crash keeps what was synced, and of each change since
/// then as much as chance wants.
///
/// They are real files as well, which the engine reads: with all changes, until a crash gives them the content that it left.
final class SimulatedDatabaseFiles: Sendable {
    private enum Change {
        case write(offset: Int, bytes: [UInt8])
        case truncate(size: Int)
    }

    private struct File {
        let name: String
        /// What is on the platter.
        var durable: [UInt8] = []
        var pending: [Change] = []
        /// Whether its name is on the platter.
        var isNamed = false
    }

    /// What goes wrong, and when.
    struct Faults {
        /// After how many writes the power fails. nil: the disk says when.
        var writesToCrash: Int?
        /// How many further writes work. nil: all.
        var writesToFailure: Int?
        var codeOfWrites = ENOSPC
        /// How many further syncs of files work. nil: all.
        var syncsToFailure: Int?
        /// How many further syncs of the directory work. nil: all.
        var directorySyncsToFailure: Int?
    }

    struct Counts: Sendable {
        var writes = 0
        var syncs = 0
        /// What became of changes that were not synced.
        var kept = 0
        var lost = 0
        var torn = 0
    }

    private struct State {
        var random: SeededRandom
        var directory: String
        /// By the numbers of their inodes.
        var files: [UInt64: File] = [:]
        var faults = Faults()
        var counts = Counts()
        /// Databases of which a page was written since their newest done mark, which was at this index.
        var copying: Set<String> = []
        var done: [String: LogIndex] = [:]
        var violations: [String] = []
    }

    private let disk: SimulatedDisk
    private let state: Mutex<State>
    private let ended = DispatchSemaphore(value: 0)

    /// - Parameter directory: Of the files, which are none yet.
    init(on disk: SimulatedDisk, seed: UInt64, directory: String) {
        self.disk = disk
        self.state = Mutex(State(random: SeededRandom(seed: seed), directory: directory))
    }

    var directory: String { self.state.withLock { $0.directory } }
    var counts: Counts { self.state.withLock { $0.counts } }
    var faults: Faults {
        get { self.state.withLock { $0.faults } }
        set { self.state.withLock { $0.faults = newValue } }
    }

    /// The content of all files, as a reader sees it.
    func contents() throws -> [String: Data] {
        let directory = self.directory
        var contents: [String: Data] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
            contents[name] = FileManager.default.contents(atPath: "\(directory)/\(name)")
        }
        return contents
    }

    // MARK: Checkpoints

    /// A done mark is durable: so must be the file.
    func checkpointEnded(of database: String, at index: LogIndex) {
        self.state.withLock { state in
            state.copying.remove(database)
            state.done[database] = index
            let isDurable = state.files.values.contains { $0.name == database && $0.isNamed && $0.pending.isEmpty }
            if !isDurable { state.violations.append("\(database) is marked as done, and is not durable") }
        }
        self.ended.signal()
    }

    /// Marks of which the files know nothing.
    var violations: [String] { self.state.withLock { $0.violations } }

    /// Waits until the file of a database has everything up to an entry.
    func waitForCheckpoint(of database: String, at index: LogIndex) -> Bool {
        while self.state.withLock({ $0.done[database] ?? .zero }) < index {
            guard self.ended.wait(timeout: .now() + 30) == .success else { return false }
        }
        return true
    }

    /// Databases whose files hold pages from above their done marks, of which the log has to know: index of those marks.
    var unfinished: [String: LogIndex] {
        self.state.withLock { state in
            Dictionary(uniqueKeysWithValues: state.copying.map { ($0, state.done[$0] ?? .zero) })
        }
    }

    // MARK: Crashes

    /// The power failed: makes files, in another directory, of what is left.
    func restart(in directory: String) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try self.state.withLock { state in
            state.directory = directory
            let files = state.files.values.sorted { $0.name < $1.name }
            state.files = [:]
            for file in files where file.isNamed || state.random.once(in: 2) {
                let image = Self.image(of: file, &state.random, &state.counts)
                let path = "\(directory)/\(file.name)"
                guard FileManager.default.createFile(atPath: path, contents: Data(image)) else {
                    throw CocoaError(.fileWriteUnknown)
                }
                var status = stat()
                guard stat(path, &status) == 0 else { throw CocoaError(.fileReadUnknown) }
                state.files[UInt64(status.st_ino)] = File(name: file.name, durable: image, isNamed: true)
            }
        }
    }

    private static func image(of file: File, _ random: inout SeededRandom, _ counts: inout Counts) -> [UInt8] {
        var image = file.durable
        // All, nothing, or something in between.
        let share = Int.random(in: 0...6, using: &random)
        for change in file.pending {
            let isKept = Int.random(in: 0..<6, using: &random) < share
            counts.kept += isKept ? 1 : 0
            switch change {
            case .truncate(let size) where isKept: Self.resize(&image, to: size)
            case .truncate: counts.lost += 1
            case .write(let offset, let bytes) where isKept: Self.write(bytes[...], at: offset, to: &image)
            case .write(let offset, let bytes):
                let isTorn = random.once(in: 2)
                counts.torn += isTorn ? 1 : 0
                counts.lost += isTorn ? 0 : 1
                // The file may have grown without what it grew for.
                if random.once(in: 4) { Self.resize(&image, to: max(image.count, offset + bytes.count)) }
                guard isTorn else { continue }
                for start in stride(from: 0, to: bytes.count, by: SimulatedDisk.sector) where random.once(in: 2) {
                    let end = min(start + SimulatedDisk.sector, bytes.count)
                    Self.write(bytes[start..<end], at: offset + start, to: &image)
                }
            }
        }
        return image
    }

    private static func resize(_ image: inout [UInt8], to size: Int) {
        if image.count > size {
            image.removeSubrange(size...)
        } else {
            image += [UInt8](repeating: 0, count: size - image.count)
        }
    }

    private static func write(_ bytes: ArraySlice<UInt8>, at offset: Int, to image: inout [UInt8]) {
        Self.resize(&image, to: max(image.count, offset + bytes.count))
        image.replaceSubrange(offset..<offset + bytes.count, with: bytes)
    }

    // MARK: The calls of the engine

    /// They do not keep this object.
    var calls: FileCalls {
        func files(_ context: UnsafeMutableRawPointer?) -> SimulatedDatabaseFiles {
            Unmanaged<SimulatedDatabaseFiles>.fromOpaque(context!).takeUnretainedValue()
        }
        return FileCalls(
            calls: rp_file_calls(
                context: Unmanaged.passUnretained(self).toOpaque(),
                pwrite: { files($0).write($1, UnsafeRawBufferPointer(start: $2, count: $3), at: Int($4)) },
                ftruncate: { files($0).truncate($1, to: Int($2)) },
                fdatasync: { files($0).sync($1) },
                fsync: { context, _ in files(context).syncDirectory() }))
    }

    /// Does something with a file if there is power.
    ///
    /// - Returns: -1, with `errno` set, when it is not done, or nobody knows whether it is.
    private func step(_ descriptor: CInt, _ body: (inout State, UInt64) -> Int) -> Int {
        self.state.withLock { state in
            let step = self.disk.takeStep()
            guard step != .impossible else {
                errno = EIO
                return -1
            }
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { return -1 }
            let number = UInt64(status.st_ino)
            if state.files[number] == nil {
                guard let name = Self.name(of: status, in: state.directory) else {
                    preconditionFailure("a file is changed that is not in the directory")
                }
                state.files[number] = File(name: name)
            }
            let result = body(&state, number)
            guard step == .interrupted else { return result }
            errno = EIO
            return -1
        }
    }

    private static func name(of file: stat, in directory: String) -> String? {
        let names = try? FileManager.default.contentsOfDirectory(atPath: directory)
        return names?.first { name in
            var status = stat()
            return lstat("\(directory)/\(name)", &status) == 0 && status.st_ino == file.st_ino
        }
    }

    private func write(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer, at offset: Int) -> Int {
        self.step(descriptor) { state, number in
            if state.faults.writesToCrash == 0 { self.disk.failPower() }
            state.faults.writesToCrash? -= 1
            if let left = state.faults.writesToFailure {
                state.faults.writesToFailure = max(0, left - 1)
                if left == 0 {
                    errno = state.faults.codeOfWrites
                    return -1
                }
            }
            state.counts.writes += 1
            // Making a file is no part of a checkpoint: it holds no entry.
            if state.files[number]!.durable.count >= bytes.count { state.copying.insert(state.files[number]!.name) }
            state.files[number]!.pending.append(.write(offset: offset, bytes: Array(bytes)))
            return pwrite(descriptor, bytes.baseAddress, bytes.count, off_t(offset))
        }
    }

    private func truncate(_ descriptor: CInt, to size: Int) -> CInt {
        CInt(
            self.step(descriptor) { state, number in
                state.files[number]!.pending.append(.truncate(size: size))
                return Int(ftruncate(descriptor, off_t(size)))
            })
    }

    private func sync(_ descriptor: CInt) -> CInt {
        CInt(
            self.step(descriptor) { state, number in
                state.counts.syncs += 1
                let isBroken = state.faults.syncsToFailure == 0
                state.faults.syncsToFailure? -= 1
                if isBroken {
                    // As Linux does: readers still see all of it, the next sync knows nothing of it, some is on the disk.
                    let image = Self.image(of: state.files[number]!, &state.random, &state.counts)
                    state.files[number]!.durable = image
                    state.files[number]!.pending = []
                    errno = EIO
                    return -1
                }
                var image = state.files[number]!.durable
                for change in state.files[number]!.pending {
                    switch change {
                    case .truncate(let size): Self.resize(&image, to: size)
                    case .write(let offset, let bytes): Self.write(bytes[...], at: offset, to: &image)
                    }
                }
                state.files[number]!.durable = image
                state.files[number]!.pending = []
                return 0
            })
    }

    private func syncDirectory() -> CInt {
        self.state.withLock { state in
            let step = self.disk.takeStep()
            let isBroken = state.faults.directorySyncsToFailure == 0
            state.faults.directorySyncsToFailure? -= 1
            guard step != .impossible, !isBroken else {
                errno = EIO
                return -1
            }
            for number in state.files.keys { state.files[number]!.isNamed = true }
            errno = EIO
            return step == .done ? 0 : -1
        }
    }
}
