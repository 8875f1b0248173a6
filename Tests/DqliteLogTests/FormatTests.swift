import DqliteRaft
import DqliteWire
import Foundation
import LogSimulation
import Testing

@testable import DqliteLog

/// The files are the same for ever.
@Suite struct FormatTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")

    /// Rows of 16 bytes; those that are zero are left out.
    static func text(_ bytes: [UInt8]) -> String {
        stride(from: 0, to: bytes.count, by: 16).compactMap { offset in
            let row = bytes[offset..<min(offset + 16, bytes.count)]
            guard row.contains(where: { $0 != 0 }) else { return nil }
            return String(format: "%06x", offset) + row.map { String(format: " %02x", $0) }.joined() + "\n"
        }.joined()
    }

    @Test func filesAreAsTheyWere() throws {
        let disk = SimulatedDisk(seed: 5)
        var log = try Harness(disk: disk, configuration: Harness.small(2048))
        log.save(HardState(term: Term(2), vote: NodeID(5)))
        try log.append([24])
        try log.append([3, 0, 16])
        log.run()
        try log.offer(.checkpoint(database: "app.db", CheckpointMarks(intent: LogIndex(3), done: LogIndex(2))))
        try log.offer(.cut(lastIndex: LogIndex(3), lastTerm: Term(2)))
        log.run()
        try log.append([1500])
        log.run()
        try log.append([40])
        log.run()
        try log.offer(.mark)
        log.run()
        for (name, bytes) in disk.files where name != Segment.spareName {
            let file = Self.folder.appending(path: name + ".txt")
            let text = Self.text(bytes)
            if !FileManager.default.fileExists(atPath: file.path),
                ProcessInfo.processInfo.environment["DQLITE_RECORD"] == "1"
            {
                try FileManager.default.createDirectory(at: Self.folder, withIntermediateDirectories: true)
                try text.write(to: file, atomically: true, encoding: .utf8)
            }
            #expect(try String(contentsOf: file, encoding: .utf8) == text, "\(name)")
        }
    }

    /// Vectors of RFC 3720, appendix B.4, and the one that everybody has.
    @Test func checksumsAreThoseOfOthers() {
        #expect(CRC32C.checksum(Array("123456789".utf8)) == 0xe306_9283)
        #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8a91_36aa)
        #expect(CRC32C.checksum([UInt8](repeating: 0xff, count: 32)) == 0x62a8_ab43)
        #expect(CRC32C.checksum([UInt8](0..<32)) == 0x46dd_794e)
        #expect(CRC32C.checksum((0..<32).reversed()) == 0x113f_db5c)
        #expect(CRC32C.checksum([]) == 0)
        // In any pieces it is the same.
        let bytes = (0..<100).map { UInt8($0 * 5 & 0xff) }
        for split in 0...100 {
            var checksum = CRC32C()
            bytes[..<split].withUnsafeBytes { checksum.update($0) }
            bytes[split...].withUnsafeBytes { checksum.update($0) }
            #expect(checksum.value == CRC32C.checksum(bytes))
        }
    }
}
