import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Host and port of a node, written `HOST:PORT`, or `[HOST]:PORT` when the host is an IPv6 address.
public struct NodeAddress: Hashable, Sendable, LosslessStringConvertible {
    /// A name or a numeric address, without brackets.
    public var host: String
    /// The port. Zero, where a node binds: one that is free.
    public var port: Int

    /// An address of the parts.
    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `HOST:PORT`. nil when it is not of that form, or when the port is above 65535.
    public init?(_ description: String) {
        guard let colon = description.lastIndex(of: ":") else { return nil }
        var host = description[..<colon]
        let digits = description[description.index(after: colon)...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits) else {
            return nil
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil  // which of the colons separates the port would be a guess
        }
        guard !host.isEmpty, !host.utf8.contains(0) else { return nil }
        self.init(host: String(host), port: Int(port))
    }

    /// `HOST:PORT`.
    public var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }
}

extension NodeAddress {
    /// Hosts that mean every address of the machine, to which nobody can connect from elsewhere.
    static let wildcards: Set<String> = ["0.0.0.0", "::"]

    /// The numeric address of a socket. nil when it is not an IP socket.
    init?(_ address: SocketAddress) {
        guard let host = address.ipAddress, let port = address.port else { return nil }
        self.init(host: host, port: port)
    }
}

extension SocketAddress {
    /// Whether only this machine can reach it.
    var isLoopback: Bool {
        guard let address = self.ipAddress else { return self.protocol == .unix }
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, address, &bytes) == 1 { return bytes[0] == 127 }
        guard inet_pton(AF_INET6, address, &bytes) == 1 else { return false }
        let isMappedLoopback =
            bytes[..<12].elementsEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]) && bytes[12] == 127
        return isMappedLoopback || bytes[..<15].allSatisfy { $0 == 0 } && bytes[15] == 1
    }
}
