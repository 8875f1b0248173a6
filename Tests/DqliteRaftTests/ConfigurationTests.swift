import DqliteRaft
import TestSupport
import Testing

/// The data of configuration entries, as C nodes write and read it.
@Suite struct ConfigurationTests {
    /// Of Debian's dqlite 1.11.1: one voter, with what it leaves in the last word.
    static let captured: [UInt8] =
        [1, 1, 0, 0, 0, 0, 0, 0, 0] + [0xBE, 0x55, 0x31, 0x8C, 0x15, 0x17, 0xDC, 0x2D] + Array("127.0.0.1:9001".utf8)
        + [0, 1] + [0x31, 0, 0x02, 0x69, 0x35, 0x7F, 0]

    @Test func readsWhatCNodesWrite() throws {
        let configuration = try Configuration(decoding: Self.captured)
        #expect(
            configuration.servers == [
                Configuration.Server(id: NodeID(0x2DDC_1715_8C31_55BE), address: "127.0.0.1:9001", role: .voter)
            ])
        #expect(configuration.encoded().count == 40)
        #expect(configuration.encoded().prefix(33) == Self.captured.prefix(33))
        #expect(configuration.encoded().suffix(7) == [0, 0, 0, 0, 0, 0, 0])
    }

    @Test func readsWhatItWrites() throws {
        var random = SeededRandom(seed: 7)
        for count in 0..<40 {
            let servers = (0..<count).map { place in
                Configuration.Server(
                    id: NodeID(UInt64(place) + 1),
                    address: String(repeating: "é", count: Int(random.next() % 9)) + ":\(place)",
                    role: Configuration.Role(rawValue: UInt8(random.next() % 3))!)
            }
            let configuration = Configuration(servers: servers)
            let bytes = configuration.encoded()
            #expect(bytes.count % 8 == 0)
            #expect(try Configuration(decoding: bytes) == configuration)
        }
    }

    /// Wherever it is cut, and whatever one byte becomes, it is read or refused, and never trapped on.
    @Test func hostileBytes() {
        let bytes = Configuration.voters(3).encoded()
        for count in bytes.indices where count < bytes.count - 8 {
            #expect(throws: Configuration.DecodingError.self) { try Configuration(decoding: bytes[..<count]) }
        }
        for place in bytes.indices {
            for value in [0, 1, 2, 3, 0x7F, 0x80, 0xFF] as [UInt8] {
                var changed = bytes
                changed[place] = value
                _ = try? Configuration(decoding: changed)
            }
        }
    }

    @Test func whatIsWrong() {
        #expect(throws: Configuration.DecodingError.unknownFormat(2)) { try Configuration(decoding: [2]) }
        #expect(throws: Configuration.DecodingError.truncated) {
            try Configuration(decoding: [1] + [UInt8](repeating: 0xFF, count: 8))
        }
        var twice = Configuration.voters(1)
        twice.servers += twice.servers
        #expect(throws: Configuration.DecodingError.invalidID(NodeID(1))) {
            try Configuration(decoding: twice.encoded())
        }
        var role = Configuration.voters(1).encoded()
        role[9 + 8 + "node-1".utf8.count + 1] = 3
        #expect(throws: Configuration.DecodingError.unknownRole(3)) { try Configuration(decoding: role) }
    }
}
