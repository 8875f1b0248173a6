#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Ports that nobody listens on. Below those that the system gives to clients: a node that is killed has to find its own free.
enum FreePorts {
    static func find(_ count: Int) -> [Int] {
        var found: [Int] = []
        while found.count < count {
            let port = Int.random(in: 20_000..<32_000)
            if !found.contains(port), self.isFree(port) { found.append(port) }
        }
        return found
    }

    private static func isFree(_ port: Int) -> Bool {
        #if canImport(Glibc)
            let kind = CInt(SOCK_STREAM.rawValue)
        #else
            let kind = SOCK_STREAM
        #endif
        let descriptor = socket(AF_INET, kind, 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
