import DqliteFraming
import DqliteProtocol
import NIOCore
import NIOEmbedded
import Testing

@testable import DqliteNode

struct HandshakeHandlerTests {
    @Test func currentWord() throws {
        let test = try HandlerTest()
        try test.send(word: Preface.dqlite)
        #expect(try test.call(LeaderRequest()) == ServerResponse(serverID: 1, address: "127.0.0.1:9001"))
        #expect(try test.channel.finish().isClean)
    }

    @Test func legacyWord() throws {
        let test = try HandlerTest()
        try test.send(word: Preface.dqliteLegacy)
        #expect(try test.call(LeaderRequest()) == LegacyServerResponse(address: "127.0.0.1:9001"))
        #expect(try test.call(ClientRequest()) == WelcomeResponse(heartbeatTimeout: 15000))
        #expect(try test.channel.finish().isClean)
    }

    @Test func protobufWord() throws {
        let test = try HandlerTest()
        try test.send(ByteBuffer(string: "dqlitep1"))
        try test.send(Request(requestID: 5, body: .leader(LeaderRequest())))
        let server = ServerResponse(serverID: 1, address: "127.0.0.1:9001")
        #expect(try test.envelopes() == [Response(requestID: 5, body: .server(server))])
        #expect(try test.channel.finish().isClean)
    }

    @Test(arguments: [0, 2, 0x0100_0000_0000_0000, 0x2f31_2e31_5054_5448, UInt64.max])
    func anyOtherWordCloses(word: UInt64) throws {
        let test = try HandlerTest()
        try test.send(word: word)
        #expect(!test.channel.isActive)
        #expect(try test.received().readableBytes == 0)
    }

    /// However the bytes are cut, the word and what follows it arrive.
    @Test(arguments: 0...24)
    func anySplit(at split: Int) throws {
        let test = try HandlerTest()
        var bytes = ByteBuffer(integer: Preface.dqlite, endianness: .little)
        try bytes.writeDqliteRequest(LeaderRequest())
        try test.send(bytes.getSlice(at: 0, length: split)!)
        try test.send(bytes.getSlice(at: split, length: 24 - split)!)
        #expect(try test.frames().count == 1)
        #expect(try test.channel.finish().isClean)
    }

    @Test func silenceCloses() throws {
        let test = try HandlerTest()
        try test.send(ByteBuffer(bytes: [1, 0, 0]))
        test.channel.embeddedEventLoop.advanceTime(by: .seconds(9))
        #expect(test.channel.isActive)
        test.channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        #expect(!test.channel.isActive)
    }

    @Test func silenceAfterTheWordDoesNot() throws {
        let test = try HandlerTest()
        try test.send(word: Preface.dqlite)
        test.channel.embeddedEventLoop.advanceTime(by: .hours(1))
        #expect(test.channel.isActive)
        #expect(try test.channel.finish().isClean)
    }

    @Test func shutdownCloses() throws {
        let test = try HandlerTest()
        test.channel.pipeline.fireUserInboundEventTriggered(ShutdownEvent.drain)
        #expect(!test.channel.isActive)
    }
}
