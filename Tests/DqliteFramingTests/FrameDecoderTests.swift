import DqliteFraming
import DqliteProtocol
import DqliteWire
import NIOCore
import Testing

@Suite struct FrameDecoderTests {
    static let frames: [(any RequestMessage, UInt8)] = [
        (LeaderRequest(), 0),
        (OpenRequest(name: "test.db", flags: 0, vfs: "volatile"), 0),
        (ExecSQLRequest(databaseID: 0, sql: "INSERT INTO t VALUES (?)", parameters: [.text("x")]), 1),
    ]

    /// The stream arrives in pieces of several sizes, and in two pieces cut at every place.
    @Test func cutsDqliteFramesAtEverySplit() throws {
        var stream = ByteBuffer()
        var expected: [DqliteFrame] = []
        for (message, revision) in Self.frames {
            var frame = ByteBuffer()
            try write(message, revision, to: &frame)
            stream.writeImmutableBuffer(frame)
            let header = frame.withUnsafeReadableBytes { FrameHeader($0) }
            frame.moveReaderIndex(forwardBy: FrameHeader.size)
            #expect(frame.readableBytes == Int(header.bodyWords) * 8)
            expected.append(DqliteFrame(header: header, body: frame))
        }
        try verify(stream, expected) { DqliteFrameDecoder(maximumBodySize: 1024) }
    }

    /// The header counts words: what is cut off would be the beginning of the next frame.
    @Test func aBodyThatIsNotWholeWordsIsRefused() throws {
        var buffer = ByteBuffer(bytes: [7])
        for count in 1..<8 {
            let files = FilesResponse(files: [File(name: "main", content: Array(repeating: 1, count: count))])
            #expect(throws: WireEncodingError(.notWholeWords, field: "FilesResponse")) {
                try buffer.writeDqliteResponse(files)
            }
        }
        #expect(buffer == ByteBuffer(bytes: [7]), "nothing is appended")
        try buffer.writeDqliteResponse(FilesResponse(files: [File(name: "main", content: [1, 2, 3, 4, 5, 6, 7, 8])]))
        #expect(buffer.readableBytes == 1 + 8 + 8 + 8 + 8 + 8)
    }

    @Test func cutsEnvelopesAtEverySplit() throws {
        var stream = ByteBuffer()
        var expected: [ByteBuffer] = []
        for (id, length) in [(1, 0), (2, 126), (3, 127), (4, 128), (5, 20_000)] {
            let request = Request(
                requestID: UInt64(id), body: .dump(DumpRequest(name: String(repeating: "n", count: length))))
            stream.writeEnvelope(request)
            expected.append(ByteBuffer(bytes: request.protobufBytes()))
            let decoded: Request = try expected[expected.count - 1].protobufMessage()
            #expect(decoded == request)
        }
        stream.writeBytes([0])
        expected.append(ByteBuffer())
        try verify(stream, expected) { EnvelopeDecoder(maximumSize: 30_000) }
    }

    @Test func refusesFramesAboveTheLimitAtTheirHeader() throws {
        var decoder = DqliteFrameDecoder(maximumBodySize: 16)
        var exact = ByteBuffer(bytes: [2, 0, 0, 0, 0, 0, 0, 0])
        #expect(try decoder.decode(buffer: &exact) == nil)
        var large = ByteBuffer(bytes: [3, 0, 0, 0, 0, 0, 0, 0])
        #expect(throws: FrameError.self) { try decoder.decode(buffer: &large) }
        var largest = ByteBuffer(bytes: [255, 255, 255, 255, 0, 0, 0, 0])
        #expect(throws: FrameError.self) { try decoder.decode(buffer: &largest) }
    }

    @Test func refusesEnvelopesAboveTheLimitAtTheirLength() throws {
        var decoder = EnvelopeDecoder(maximumSize: 300)
        var exact = ByteBuffer(bytes: [0xac, 0x02])
        #expect(try decoder.decode(buffer: &exact) == nil)
        for bytes: [UInt8] in [[0xad, 0x02], [0xff, 0xff, 0xff, 0xff], [0x80, 0x80, 0x80, 0x80, 0x00]] {
            var buffer = ByteBuffer(bytes: bytes)
            #expect(throws: FrameError.self) { try decoder.decode(buffer: &buffer) }
        }
    }

    @Test func aMessageThatCannotBeWrittenLeavesTheBufferAsItWas() {
        var buffer = ByteBuffer(string: "before")
        #expect(throws: WireEncodingError.self) {
            try buffer.writeDqliteRequest(DumpRequest(name: "a\0b"))
        }
        #expect(buffer == ByteBuffer(string: "before"))
    }

    @Test func theAnswerToClusterKeepsItsRevisionOutOfTheHeader() throws {
        let servers = ServersResponse(servers: [Server(serverID: 1, address: "127.0.0.1:9001", role: .standby)])
        for revision in [UInt8(0), 1] {
            var buffer = ByteBuffer()
            try buffer.writeDqliteResponse(servers, revision: revision)
            var decoder = DqliteFrameDecoder(maximumBodySize: 1024)
            let frame = try #require(try decoder.decode(buffer: &buffer))
            #expect(frame.header.revision == 0)
            let decoded: ServersResponse = try frame.body.dqliteMessage(revision: revision)
            #expect(decoded.servers[0].role == (revision == 0 ? .voter : .standby))
        }
    }

    @Test func prefacesAreTheBytesThatTheProtocolSays() {
        #expect(ByteBuffer(integer: Preface.protobuf, endianness: .little) == ByteBuffer(string: "dqlitep1"))
        #expect(
            ByteBuffer(integer: Preface.dqliteLegacy, endianness: .little)
                == ByteBuffer(bytes: [0xe5, 0x3f, 0x43, 0x60, 0xd7, 0x4d, 0x10, 0x86]))
    }
}

private func write(_ message: some RequestMessage, _ revision: UInt8, to buffer: inout ByteBuffer) throws {
    try buffer.writeDqliteRequest(message, revision: revision)
}

private func verify<Decoder: NIOSingleStepByteToMessageDecoder>(
    _ stream: ByteBuffer, _ expected: [Decoder.InboundOut], _ makeDecoder: @escaping () -> Decoder
) throws where Decoder.InboundOut: Equatable {
    for size in [1, 2, 3, 7, 8, 9, 100, stream.readableBytes] {
        let processor = NIOSingleStepByteToMessageProcessor(makeDecoder())
        var rest = stream
        var decoded: [Decoder.InboundOut] = []
        while rest.readableBytes > 0 {
            let piece = rest.readSlice(length: min(size, rest.readableBytes))!
            try processor.process(buffer: piece) { decoded.append($0) }
        }
        try processor.finishProcessing(seenEOF: true) { decoded.append($0) }
        #expect(decoded == expected, "in pieces of \(size) bytes")
    }
    // And in two pieces, at every place.
    for split in 0...min(stream.readableBytes, 400) {
        let processor = NIOSingleStepByteToMessageProcessor(makeDecoder())
        var rest = stream
        var decoded: [Decoder.InboundOut] = []
        let first = rest.readSlice(length: split)!
        try processor.process(buffer: first) { decoded.append($0) }
        try processor.process(buffer: rest) { decoded.append($0) }
        #expect(decoded == expected, "split at byte \(split)")
    }
}
