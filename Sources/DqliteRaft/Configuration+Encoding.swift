extension Configuration {
    /// What is wrong with bytes that should be a configuration.
    public enum DecodingError: Error, Hashable, Sendable {
        /// They end too early.
        case truncated
        /// Their first byte is not 1.
        case unknownFormat(UInt8)
        /// The role of a server is none of 0, 1 and 2.
        case unknownRole(UInt8)
        /// An address is not UTF-8.
        case invalidAddress
        /// Two servers have one id, or a server has id zero.
        case invalidID(NodeID)
    }

    private static let format: UInt8 = 1

    /// The data of a configuration entry as C dqlite writes it: format 1, the number of servers, and for each its id, its
    /// address ending in zero, and its role, without alignment inside; filled up with zeros to a multiple of 8.
    public func encoded() -> [UInt8] {
        var bytes: [UInt8] = [Self.format]
        Self.append(UInt64(self.servers.count), to: &bytes)
        for server in self.servers {
            Self.append(server.id.rawValue, to: &bytes)
            bytes.append(contentsOf: server.address.utf8.prefix { $0 != 0 })
            bytes.append(0)
            bytes.append(server.role.rawValue)
        }
        bytes.append(contentsOf: repeatElement(0, count: (8 - bytes.count % 8) % 8))
        return bytes
    }

    /// Reads what `encoded()` and C nodes write. What fills up the last word may be anything, as C nodes do not clear it.
    public init(decoding bytes: some Collection<UInt8>) throws(DecodingError) {
        var rest = bytes[...]
        guard let format = rest.popFirst() else { throw .truncated }
        guard format == Self.format else { throw .unknownFormat(format) }
        let count = try Self.popWord(from: &rest)
        // A server takes at least ten bytes: a count that cannot be true is found before anything is allocated for it.
        guard count <= UInt64(rest.count / 10) else { throw .truncated }
        var servers: [Server] = []
        servers.reserveCapacity(Int(count))
        for _ in 0..<count {
            let id = NodeID(try Self.popWord(from: &rest))
            guard id.rawValue != 0, !servers.contains(where: { $0.id == id }) else { throw .invalidID(id) }
            guard let end = rest.firstIndex(of: 0) else { throw .truncated }
            guard let address = String(validating: rest[..<end], as: UTF8.self) else { throw .invalidAddress }
            rest = rest[rest.index(after: end)...]
            guard let number = rest.popFirst() else { throw .truncated }
            guard let role = Role(rawValue: number) else { throw .unknownRole(number) }
            servers.append(Server(id: id, address: address, role: role))
        }
        self.init(servers: servers)
    }

    private static func append(_ word: UInt64, to bytes: inout [UInt8]) {
        for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift))) }
    }

    private static func popWord<Bytes: Collection<UInt8>>(
        from rest: inout Bytes
    ) throws(DecodingError) -> UInt64 where Bytes.SubSequence == Bytes {
        var word: UInt64 = 0
        for shift in stride(from: 0, to: 64, by: 8) {
            guard let byte = rest.popFirst() else { throw .truncated }
            word |= UInt64(byte) << UInt64(shift)
        }
        return word
    }
}
