/// Where a node listens.
public struct DqliteServerAddress: Hashable, Sendable, LosslessStringConvertible {
    enum Base: Hashable, Sendable {
        case hostname(String, port: Int)
        case unixDomainSocket(path: String)
    }

    let base: Base

    /// A host, by name or by numeric address, and a port.
    public static func hostname(_ host: String, port: Int = 9001) -> DqliteServerAddress {
        DqliteServerAddress(base: .hostname(host, port: port))
    }

    /// A socket in the file system.
    public static func unixDomainSocket(path: String) -> DqliteServerAddress {
        DqliteServerAddress(base: .unixDomainSocket(path: path))
    }

    private init(base: Base) { self.base = base }

    /// An address as it is written: `HOST:PORT`, `[IPV6]:PORT`, or the path of a socket, which contains a slash. nil when the
    /// text is none of them.
    public init?(_ description: String) {
        if description.contains("/") {
            self.base = .unixDomainSocket(path: description)
            return
        }
        guard let colon = description.lastIndex(of: ":"),
            let port = UInt16(description[description.index(after: colon)...]), port > 0
        else { return nil }
        var host = description[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty else { return nil }
        self.base = .hostname(String(host), port: Int(port))
    }

    /// `HOST:PORT`, `[IPV6]:PORT`, or the path.
    public var description: String {
        switch self.base {
        case .hostname(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unixDomainSocket(let path): path
        }
    }
}
