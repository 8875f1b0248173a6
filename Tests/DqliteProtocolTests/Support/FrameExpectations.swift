import DqliteProtocol
import DqliteWire
import Testing

/// Asserts that a recorded frame is this request, and that the request encodes to the same bytes.
///
/// - Parameter junk: Places of the frame that hold what memory happened to hold: ignored when read, zeros when written.
func expectRequest<Message: RequestMessage & Equatable>(
    _ frame: String, is expected: Message, revision: UInt8 = 0, junk: Range<Int>? = nil
) throws {
    try expectFrame(
        frame, is: expected, code: Message.code.rawValue, revision: revision, headerRevision: revision, junk: junk)
    // The table of requests leads to the same message.
    let bytes = try Fixtures.frame(frame)
    let body = try bytes[8...].withUnsafeBytes { (memory) throws in
        var reader = WordReader(memory, message: "Request")
        return try Request.Body(dqlite: &reader, code: bytes[4], revision: bytes[5])
    }
    #expect(body?.code == Message.code)
}

/// Asserts that a recorded frame is this response, and that the response encodes to the same bytes.
func expectResponse<Message: ResponseMessage & Equatable>(
    _ frame: String, is expected: Message, revision: UInt8 = 0
) throws {
    let headerRevision = Message.revisionIsInHeader ? revision : 0
    try expectFrame(
        frame, is: expected, code: Message.code.rawValue, revision: revision, headerRevision: headerRevision, junk: nil)
    let bytes = try Fixtures.frame(frame)
    let body = try bytes[8...].withUnsafeBytes { (memory) throws in
        var reader = WordReader(memory, message: "Response")
        return try Response.Body(
            dqlite: &reader, code: bytes[4], revision: bytes[5],
            askedRevision: Message.revisionIsInHeader ? nil : revision)
    }
    #expect(body?.code == Message.code)
    // A revision that the header does not say is not guessed.
    guard !Message.revisionIsInHeader else { return }
    let guess = try bytes[8...].withUnsafeBytes { (memory) throws in
        var reader = WordReader(memory, message: "Response")
        return try Response.Body(dqlite: &reader, code: bytes[4], revision: bytes[5])
    }
    #expect(guess == nil)
}

private func expectFrame<Message: DqliteEncodable & Equatable>(
    _ frame: String, is expected: Message, code: UInt8, revision: UInt8, headerRevision: UInt8, junk: Range<Int>?
) throws {
    var bytes = try Fixtures.frame(frame)
    let header = bytes.withUnsafeBytes { FrameHeader($0) }
    #expect(header == FrameHeader(bodyWords: UInt32((bytes.count - 8) / 8), code: code, revision: headerRevision))
    #expect(header.bodySize == bytes.count - 8)
    #expect(try Message.decode(dqlite: Array(bytes[8...]), revision: revision) == expected)

    if let junk { bytes.replaceSubrange(junk, with: repeatElement(0, count: junk.count)) }
    let body = try expected.dqliteBytes(revision: revision)
    #expect(headerBytes(header) + body == bytes)
}

func headerBytes(_ header: FrameHeader) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: FrameHeader.size) { memory, count in
        var writer = WordWriter(UnsafeMutableRawBufferPointer(memory))
        header.encode(into: &writer)
        count = writer.count
    }
}

/// Asserts that a recorded message between nodes is this, and that this encodes to the bytes, in which `edits` have undone
/// what the sender wrote without a meaning.
func expectRaft<Message: DqliteEncodable & Equatable>(
    _ frame: String, is expected: Message, edits: (inout [UInt8]) -> Void = { _ in }
) throws {
    var bytes = try Fixtures.frame(frame)
    #expect(try Message.decode(dqlite: bytes) == expected)
    edits(&bytes)
    #expect(try expected.dqliteBytes() == bytes)
}
