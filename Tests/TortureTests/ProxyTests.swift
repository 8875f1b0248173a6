import Foundation
import NIOCore
import NIOPosix
import Testing
import TortureChecks

@testable import torture

/// The proxy before something that sends back what it gets.
@Suite(.timeLimit(.minutes(2)))
struct ProxyTests {
    private final class Echo: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.writeAndFlush(data, promise: nil) }
    }

    private func withProxy(
        _ routes: RouteTable, _ body: (Int) async throws -> Void
    ) async throws {
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Echo()) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let proxy = try await Proxy(of: 0, target: server.localAddress!.port!, routes: routes)
        try await body(proxy.port)
        await proxy.close()
        try await server.close()
    }

    private func connect<Value: Sendable>(
        _ port: Int,
        _ body:
            @Sendable (
                inout sending NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator,
                NIOAsyncChannelOutboundWriter<ByteBuffer>
            ) async throws -> Value
    ) async throws -> Value {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            var iterator = inbound.makeAsyncIterator()
            return try await body(&iterator, outbound)
        }
    }

    /// What comes back; less than that at the end of the connection.
    private func receive(
        _ count: Int, _ iterator: inout sending NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    ) async throws -> Int {
        var received = 0
        while received < count, let bytes = try await iterator.next() { received += bytes.readableBytes }
        return received
    }

    @Test func `Everything passes, also what is more than fits anywhere`() async throws {
        try await self.withProxy(RouteTable()) { port in
            let size = 4 << 20
            let received = try await self.connect(port) { iterator, writer in
                try await writer.write(ByteBuffer(repeating: 7, count: size))
                return try await self.receive(size, &iterator)
            }
            #expect(received == size)
        }
    }

    @Test(arguments: [true, false])
    func `What is held arrives when the partition is over`(_ isInward: Bool) async throws {
        let routes = RouteTable()
        let inward = Route(from: .clients, to: .node(0))
        try await self.withProxy(routes) { port in
            try await self.connect(port) { iterator, writer in
                try await writer.write(ByteBuffer(string: "before"))
                #expect(try await self.receive(6, &iterator) == 6)
                let cut = routes.cut([isInward ? inward : Route(from: .node(0), to: .clients)], .held)
                let began = ContinuousClock.now
                try await writer.write(ByteBuffer(string: "during"))
                let healing = Task {
                    await pause(.milliseconds(300))
                    routes.heal(cut)
                }
                #expect(try await self.receive(6, &iterator) == 6)
                #expect(began.duration(to: .now) >= .milliseconds(300))
                await healing.value
            }
        }
    }

    @Test func `A connection that is made in a partition waits for its end`() async throws {
        let routes = RouteTable()
        try await self.withProxy(routes) { port in
            let cut = routes.cut([Route(from: .clients, to: .node(0))], .held)
            let healing = Task {
                await pause(.milliseconds(200))
                routes.heal(cut)
            }
            try await self.connect(port) { iterator, writer in
                try await writer.write(ByteBuffer(string: "hello"))
                #expect(try await self.receive(5, &iterator) == 5)
            }
            await healing.value
        }
    }

    @Test func `What is broken ends, and nothing new begins`() async throws {
        let routes = RouteTable()
        try await self.withProxy(routes) { port in
            try await self.connect(port) { iterator, writer in
                try await writer.write(ByteBuffer(string: "before"))
                #expect(try await self.receive(6, &iterator) == 6)
                _ = routes.cut([Route(from: .node(0), to: .clients)], .broken)
                #expect((try? await self.receive(1, &iterator)) ?? 0 == 0)
            }
            routes.healAll()
            _ = routes.cut([Route(from: .clients, to: .node(0))], .broken)
            let received = try? await self.connect(port) { iterator, writer in
                try await writer.write(ByteBuffer(string: "during"))
                return try await self.receive(1, &iterator)
            }
            #expect(received ?? 0 == 0)
        }
    }

    @Test func `Other routes are not touched, and delays delay`() async throws {
        let routes = RouteTable()
        _ = routes.cut([Route(from: .node(1), to: .node(0)), Route(from: .node(0), to: .node(1))], .broken)
        let delay = routes.delay(
            [Route(from: .clients, to: .node(0)), Route(from: .node(0), to: .clients)], by: .milliseconds(50))
        try await self.withProxy(routes) { port in
            try await self.connect(port) { iterator, writer in
                let began = ContinuousClock.now
                try await writer.write(ByteBuffer(string: "slow"))
                #expect(try await self.receive(4, &iterator) == 4)
                #expect(began.duration(to: .now) >= .milliseconds(100))
                routes.heal(delay)
                try await writer.write(ByteBuffer(string: "fast"))
                #expect(try await self.receive(4, &iterator) == 4)
            }
        }
    }

    @Test func `A node is known by what its streams begin with`() async throws {
        let routes = RouteTable()
        _ = routes.cut([Route(from: .node(1), to: .node(0))], .broken)
        for (id, isCut) in [(2, true), (3, false)] as [(UInt64, Bool)] {
            try await self.withProxy(routes) { port in
                let received = try? await self.connect(port) { iterator, writer in
                    var hello = ByteBuffer()
                    for word in [0x3172_6574_696c_7164, 1, id] { hello.writeInteger(word, endianness: .little) }
                    try await writer.write(hello)
                    return try await self.receive(24, &iterator)
                }
                #expect(received ?? 0 == (isCut ? 0 : 24))
            }
        }
    }
}
