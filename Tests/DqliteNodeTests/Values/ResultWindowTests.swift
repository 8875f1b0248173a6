import DqliteFraming
import DqliteProtocol
import NIOCore
import Testing

@testable import DqliteNode

struct ResultWindowTests {
    private func part(_ count: Int) -> ByteBuffer { ByteBuffer(repeating: 1, count: count) }

    @Test func usesWhatIsGrantedAndNoMore() {
        var window = ResultWindow(granted: 100)
        #expect(window.send(self.part(60), more: true) == true)
        #expect(window.remaining == 40)
        #expect(window.send(self.part(40), more: true) == true)
        #expect(window.remaining == 0)
        #expect(window.send(self.part(1), more: false) == false)
        #expect(window.held?.envelope.readableBytes == 1)
    }

    @Test func heldPartGoesWhenItFits() throws {
        var window = ResultWindow(granted: 10)
        #expect(window.send(self.part(60), more: true) == false)
        guard case .nothing = window.grant(49) else { throw Unexpected() }
        guard case .send(let held) = window.grant(1) else { throw Unexpected() }
        #expect(held.envelope.readableBytes == 60)
        #expect(held.more)
        #expect(window.remaining == 0)
        guard case .nothing = window.grant(5) else { throw Unexpected() }
        #expect(window.remaining == 5)
    }

    @Test func blockedResultGoesOnWhenThereIsRoom() throws {
        var window = ResultWindow(granted: 10)
        #expect(window.blocked(size: 10) == false)
        #expect(window.blocked(size: 30) == true)
        guard case .nothing = window.grant(19) else { throw Unexpected() }
        guard case .resume = window.grant(.max) else { throw Unexpected() }
        #expect(window.remaining == .max)
    }

    /// For every size near where lengths grow by a byte: the size is what is written, and the largest body is the largest.
    @Test(arguments: [1, 127, 128, 1 << 62, UInt64.max])
    func envelopeIsAsLargeAsItSays(requestID: UInt64) throws {
        let rows = RowsEnvelope(requestID: requestID)
        for bodySize in [
            0, 1, 100, 105, 110, 115, 120, 122, 124, 126, 127, 128, 129, 16360, 16366, 16370, 16383, 16384, 70000,
        ] {
            var buffer = ByteBuffer(repeating: 0, count: RowsEnvelope.room)
            // Field 100 of the wire type with a length is unknown to RowsResponse, so that any size decodes.
            var body = ByteBuffer()
            if bodySize > 0 {
                let content = Self.unknownField(size: bodySize)
                guard let content else { continue }
                body.writeBytes(content)
            }
            buffer.writeImmutableBuffer(body)
            rows.write(to: &buffer)
            #expect(buffer.readableBytes == rows.size(bodySize: bodySize))
            #expect(rows.largestBody(in: buffer.readableBytes) == bodySize)
            #expect(rows.largestBody(in: buffer.readableBytes - 1) < bodySize)
            var decoder = EnvelopeDecoder(maximumSize: 1 << 20)
            let envelope = try #require(try decoder.decode(buffer: &buffer))
            #expect(buffer.readableBytes == 0)
            let response: Response = try envelope.protobufMessage()
            #expect(response == Response(requestID: requestID, body: .rows(RowsResponse())))
        }
    }

    private static func unknownField(size: Int) -> [UInt8]? {
        for lengthSize in 1...3 {
            let count = size - 2 - lengthSize
            guard count >= 0 else { return size < 3 ? nil : nil }
            let low = lengthSize == 1 ? 0 : 1 << (7 * (lengthSize - 1))
            guard count >= low, count < 1 << (7 * lengthSize) else { continue }
            var bytes: [UInt8] = [0xa2, 0x06]
            for index in 0..<lengthSize {
                let septet = UInt8(count >> (7 * index) & 0x7f)
                bytes.append(index == lengthSize - 1 ? septet : septet | 0x80)
            }
            return bytes + [UInt8](repeating: 0, count: count)
        }
        return nil
    }
}
