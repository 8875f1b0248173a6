import CReplicaPager
import DqliteEngine
import DqliteLog
import DqliteRaft

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The engine's file, of which the simulated disk keeps what was synced.
extension EngineDatabase {
    /// They do not keep this object.
    var fileCalls: FileCalls {
        func database(_ context: UnsafeMutableRawPointer?) -> EngineDatabase {
            Unmanaged<EngineDatabase>.fromOpaque(context!).takeUnretainedValue()
        }
        return FileCalls(
            calls: rp_file_calls(
                context: Unmanaged.passUnretained(self).toOpaque(),
                pwrite: { database($0).write($1, UnsafeRawBufferPointer(start: $2, count: $3), at: Int($4)) },
                ftruncate: { database($0).truncate($1, to: Int($2)) },
                fdatasync: { context, _ in database(context).sync() },
                fsync: { context, _ in database(context).syncNames() }))
    }

    private func write(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer, at offset: Int) -> Int {
        let files = self.host.files
        let copy = Array(bytes)
        guard self.change({ () throws(LogFileError) in try files.put(copy, at: offset) }) else { return -1 }
        return pwrite(descriptor, bytes.baseAddress, bytes.count, off_t(offset))
    }

    private func truncate(_ descriptor: CInt, to size: Int) -> CInt {
        let files = self.host.files
        guard self.change({ () throws(LogFileError) in try files.resize(to: size) }) else { return -1 }
        return ftruncate(descriptor, off_t(size))
    }

    private func sync() -> CInt {
        if self.cluster.defect == .doneBeforeSync { return 0 }
        let files = self.host.files
        return self.change({ () throws(LogFileError) in try files.sync() }) ? 0 : -1
    }

    private func syncNames() -> CInt {
        let files = self.host.files
        return self.change({ () throws(LogFileError) in try files.syncNames() }) ? 0 : -1
    }

    /// Changes the disk: in made-up time during a checkpoint, and else at once.
    ///
    /// - Returns: Whether that was done; if not, `errno` says why.
    private func change(_ effect: @escaping () throws(LogFileError) -> Void) -> Bool {
        guard !self.isDead else {
            errno = EIO
            return false
        }
        let effect = { Result { () throws(LogFileError) in try effect() } }
        var result: Result<Void, LogFileError>?
        if let fiber = self.fiber, fiber.isRunning {
            result = fiber.wait { done in self.node.work(in: .file, effect, then: done) }
        } else {
            result = effect()
        }
        switch result {
        case .success: return true
        case .failure(let error): errno = error.code == 0 ? EIO : error.code
        case nil: errno = EIO
        }
        return false
    }

    // MARK: Copies

    func beginCopy(_ number: UInt64) -> (any CopySource)? {
        guard let engine = self.engine, self.isOpen else { return nil }
        // The node keeps the entries after the start before anything else is done.
        return (try? engine.beginCopy { _ in }).map { EngineSource($0, of: self) }
    }
}

/// A copy of the engine's file.
private final class EngineSource: CopySource {
    private let copy: EngineCopy
    private unowned let database: EngineDatabase
    private(set) var isComplete = false
    private var isBegun = false
    private var intent: LogIndex?

    init(_ copy: EngineCopy, of database: EngineDatabase) {
        self.copy = copy
        self.database = database
    }

    var start: LogIndex { self.copy.start }

    func read() throws -> [UInt8] {
        if !self.isBegun {
            self.isBegun = true
            // A database without a file is made of entries.
            guard try self.copy.nextFile() != nil else {
                self.isComplete = true
                return []
            }
        }
        let size = self.database.pieceSize
        var result: Result<Int, EngineError> = .success(0)
        let piece = [UInt8](unsafeUninitializedCapacity: size) { memory, count in
            result = Result { () throws(EngineError) in try self.copy.read(into: UnsafeMutableRawBufferPointer(memory))
            }
            count = (try? result.get()) ?? 0
        }
        if try result.get() < size {
            _ = try self.copy.endFile()
            guard try self.copy.nextFile() == nil else { preconditionFailure("there is one database") }
            self.isComplete = true
        }
        return piece
    }

    func end() -> LogIndex {
        let intent = self.copy.finish()
        return self.database.cluster.defect == .copyWithoutIntent ? self.start : intent
    }
}
