import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// How soon a connection ends whose other machine is gone without a word: by itself TCP asks after two hours, and sends again
/// for a quarter of an hour, more and more seldom.
enum ConnectionLoss {
    /// For connections that may say nothing for long: half a minute of silence, of which the last half is spent asking.
    static let keepAlive: [(ChannelOptions.Types.SocketOption, Int)] = [
        (.init(level: .socket, name: .so_keepalive), 1),
        (.init(level: .tcp, name: .init(rawValue: TCP_KEEPINTVL)), 5),
        (.init(level: .tcp, name: .init(rawValue: TCP_KEEPCNT)), 3),
        (.init(level: .tcp, name: .init(rawValue: idle)), 15),
    ]

    #if canImport(Darwin)
        private static let idle = TCP_KEEPALIVE
    #else
        private static let idle = TCP_KEEPIDLE
    #endif

    /// For streams to other nodes: what nobody acknowledges for this long, in milliseconds, ends it. A new one is tried at once,
    /// while an old one would notice late that the network is well again.
    static let unacknowledged: [(ChannelOptions.Types.SocketOption, Int)] = {
        #if os(Linux)
            [(.init(level: .tcp, name: .init(rawValue: TCP_USER_TIMEOUT)), 3000)]
        #else
            []
        #endif
    }()
}
