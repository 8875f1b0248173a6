#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A port of the loopback interface that is taken as long as this lives, so that nobody else can come to listen there. Nobody
/// listens here either: who connects is refused.
package final class LoopbackPort: Sendable {
    package let number: Int
    private let descriptor: CInt

    package struct Failed: Error { package var code: CInt }

    /// - Parameter number: Which; zero: one that is free.
    package init(_ number: Int = 0) throws {
        #if canImport(Glibc)
            let kind = CInt(SOCK_STREAM.rawValue)
        #else
            let kind = SOCK_STREAM
        #endif
        let descriptor = socket(AF_INET, kind, 0)
        guard descriptor >= 0 else { throw Failed(code: errno) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(number).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0
            }
        }
        guard isBound else {
            let code = errno
            close(descriptor)
            throw Failed(code: code)
        }
        self.descriptor = descriptor
        self.number = Int(in_port_t(bigEndian: address.sin_port))
    }

    deinit { close(self.descriptor) }
}
