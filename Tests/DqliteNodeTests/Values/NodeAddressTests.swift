import NIOCore
import Testing

@testable import DqliteNode

struct NodeAddressTests {
    @Test(arguments: [
        ("127.0.0.1:9001", "127.0.0.1", 9001), ("localhost:0", "localhost", 0), ("[::1]:65535", "::1", 65535),
        ("db-1.example:80", "db-1.example", 80),
    ])
    func reads(description: String, host: String, port: Int) {
        #expect(NodeAddress(description) == NodeAddress(host: host, port: port))
        #expect(NodeAddress(host: host, port: port).description == description)
    }

    @Test(arguments: [
        "", ":", ":80", "host", "host:", "host:65536", "host:-1", "host:+1", "host:8x", "::1:80", "[]:1", "a\0:1",
    ])
    func refuses(description: String) {
        #expect(NodeAddress(description) == nil)
    }

    @Test(arguments: [
        ("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("::ffff:127.0.0.1", true), ("0.0.0.0", false),
        ("::", false), ("10.0.0.1", false), ("::ffff:10.0.0.1", false), ("fe80::1", false),
    ])
    func knowsLoopback(host: String, isLoopback: Bool) throws {
        #expect(try SocketAddress(ipAddress: host, port: 1).isLoopback == isLoopback)
    }
}
