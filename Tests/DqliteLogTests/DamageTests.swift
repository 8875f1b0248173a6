import DqliteRaft
import DqliteWire
import LogSimulation
import Testing

@testable import DqliteLog

/// Damage is told from a torn end, and refused.
@Suite struct DamageTests {
    /// Files of a log of several segments.
    static func files(isClosed: Bool) throws -> [String: [UInt8]] {
        let disk = SimulatedDisk(seed: 5)
        var log = try Harness(disk: disk, configuration: Harness.small(2048))
        log.save(HardState(term: Term(3), vote: NodeID(9)))
        try log.offer(.checkpoint(database: "db", CheckpointMarks(intent: LogIndex(1))))
        for size in [100, 300, 500, 33, 0, 700, 100, 900, 10, 1000, 1000] {
            try log.append([size, 17])
            log.run()
        }
        try log.offer(.cut(lastIndex: LogIndex(20), lastTerm: Term(3)))
        log.run()
        // The last group holds several records.
        try log.append([201])
        try log.append([40, 40])
        log.run()
        if isClosed {
            try log.offer(.mark)
            log.run()
        }
        return disk.files.filter { $0.key != Segment.spareName }
    }

    static func open(_ files: [String: [UInt8]], forgiving: Bool = false) throws -> (LogRecovery.Found, SimulatedDisk) {
        let disk = SimulatedDisk(seed: 6)
        disk.files = files
        let fileSystem: any LogFileSystem = forgiving ? ForgivingFileSystem(disk: disk) : disk
        do throws(LogError) {
            return (
                try LogRecovery.open(fileSystem: fileSystem, configuration: Harness.small(2048), newLogID: 1), disk
            )
        } catch {
            #expect(disk.files == files, "what is refused is not changed")
            throw error
        }
    }

    /// Where the records of a segment begin, and where they end.
    static func records(of bytes: [UInt8]) -> [Int] {
        bytes.withUnsafeBytes { memory in
            var cursor = SegmentCursor(memory, at: Segment.headerSize, logID: 77)
            var offsets = [cursor.offset]
            while cursor.next() != nil { offsets.append(cursor.offset) }
            return offsets
        }
    }

    /// Flips a bit of each byte that is before the end of the last segment that is closed.
    ///
    /// - Returns: How many flips were not refused with the place they are at.
    static func unnoticedFlips(forgiving: Bool = false) throws -> Int {
        let files = try Self.files(isClosed: true)
        let names = files.keys.filter { $0.hasPrefix("segment-") }.sorted()
        #expect(names.count >= 3)
        var unnoticed = 0
        for name in names {
            let offsets = [0] + Self.records(of: files[name]!)
            // The mark at the very end is all that is not proven.
            let end = name == names.last ? offsets[offsets.count - 2] : offsets.last!
            for offset in 0..<end {
                var files = files
                files[name]![offset] ^= 1 << (offset % 8)
                do {
                    _ = try Self.open(files, forgiving: forgiving)
                    unnoticed += 1
                } catch LogError.damaged(let file, let place, _) {
                    if file != name || place != offsets.last(where: { $0 <= offset }) { unnoticed += 1 }
                }
            }
        }
        return unnoticed
    }

    @Test func everyFlippedByteIsFoundAndNamed() throws {
        #expect(try Self.unnoticedFlips() == 0)
    }

    @Test func ignoringHeaderChecksumsIsFound() throws {
        #expect(try Self.unnoticedFlips(forgiving: true) > 0)
    }

    @Test func theLastGroupIsCut() throws {
        let files = try Self.files(isClosed: false)
        let name = files.keys.filter { $0.hasPrefix("segment-") }.max()!
        let offsets = Self.records(of: files[name]!)
        let (whole, _) = try Self.open(files)
        #expect(whole.machine.map.lastIndex == LogIndex(23))
        #expect(whole.tornBytes == 0)
        for offset in offsets[offsets.count - 3]..<offsets.last! {
            var files = files
            files[name]![offset] ^= 0x10
            let (found, disk) = try Self.open(files)
            // In the first record of the two, or in the second.
            let isFirst = offset < offsets[offsets.count - 2]
            #expect(found.machine.map.lastIndex == LogIndex(isFirst ? 20 : 21))
            #expect(found.tornBytes > 0)
            let kept = offsets[offsets.count - (isFirst ? 3 : 2)]
            // Instead of what was cut there is the mark, and zeros.
            #expect(disk.files[name]![(kept + Record.headerSize)...].allSatisfy { $0 == 0 })
        }
    }

    @Test func aMissingFileIsFound() throws {
        let files = try Self.files(isClosed: true)
        let names = files.keys.filter { $0.hasPrefix("segment-") }.sorted()
        var damaged = files
        damaged[names[1]] = nil
        #expect(throws: LogError.damaged(file: names[1], offset: 0, reason: "it is missing")) {
            try Self.open(damaged)
        }
        damaged = files
        for name in names { damaged[name] = nil }
        #expect(throws: LogError.self) { try Self.open(damaged) }
        damaged = files
        for name in TermFiles.names { damaged[name] = nil }
        #expect(throws: LogError.self) { try Self.open(damaged) }
        damaged = files
        damaged[names[1]]!.removeLast(2000)
        #expect(throws: LogError.self) { try Self.open(damaged) }
        // A segment of another log.
        damaged = files
        var other = try Harness(disk: SimulatedDisk(seed: 1), configuration: Harness.small(2048)).disk.files[names[0]]!
        other.replaceSubrange(0..<64, with: files[names[0]]![0..<64])
        other[40] ^= 1
        damaged[names[0]] = other
        #expect(throws: LogError.self) { try Self.open(damaged) }
    }

    @Test func oneTermFileIsEnough() throws {
        let files = try Self.files(isClosed: true)
        for name in TermFiles.names {
            for offset in 0..<48 {
                var files = files
                files[name]![offset] ^= 0x40
                #expect(try Self.open(files).0.termFiles.state == HardState(term: Term(3), vote: NodeID(9)))
            }
            var files = files
            files[name] = nil
            #expect(try Self.open(files).0.termFiles.state == HardState(term: Term(3), vote: NodeID(9)))
        }
        var damaged = files
        for name in TermFiles.names { damaged[name]![20] ^= 1 }
        #expect(throws: LogError.self) { try Self.open(damaged) }
    }
}

/// Reads segments as if their records' header checksums were always right: a defect to be found.
struct ForgivingFileSystem: LogFileSystem {
    let disk: SimulatedDisk

    struct File: LogFile {
        let file: any LogFile
        var size: Int { self.file.size }
        func write(_ buffers: [UnsafeRawBufferPointer], at offset: Int) throws(LogFileError) {
            try self.file.write(buffers, at: offset)
        }
        func sync() throws(LogFileError) { try self.file.sync() }
        func read(into memory: UnsafeMutableRawBufferPointer, at offset: Int) throws(LogFileError) {
            try self.file.read(into: memory, at: offset)
            var offset = Segment.headerSize
            while offset + Record.headerSize <= memory.count, memory[offset + 8] != 0 {
                let header = UnsafeRawBufferPointer(rebasing: memory[offset..<offset + Record.headerSize])
                let checksum = Record.headerChecksum(header, logID: 77)
                memory.storeBytes(of: checksum.littleEndian, toByteOffset: offset, as: UInt32.self)
                let size = Int(UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 12, as: UInt32.self)))
                offset += Record.headerSize + roundedUpToWord(size)
            }
        }
    }

    func names() throws(LogFileError) -> [String] { try self.disk.names() }
    func create(_ name: String, size: Int) throws(LogFileError) -> any LogFile {
        try self.disk.create(name, size: size)
    }
    func open(_ name: String) throws(LogFileError) -> any LogFile {
        let file = try self.disk.open(name)
        return name.hasPrefix("segment-") ? File(file: file) : file
    }
    func rename(_ name: String, to newName: String) throws(LogFileError) { try self.disk.rename(name, to: newName) }
    func remove(_ name: String) throws(LogFileError) { try self.disk.remove(name) }
    func retire(_ name: String) throws(LogFileError) { try self.disk.retire(name) }
    func sync() throws(LogFileError) { try self.disk.sync() }
}
