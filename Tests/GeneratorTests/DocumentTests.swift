import DqliteProtocol
import DqliteWire
import Foundation
import Testing

@testable import ProtocolGenerator

@Suite struct DocumentTests {
    /// The bytes of the examples, without those that choose an encoding.
    private func frames(_ name: String) throws -> [[UInt8]] {
        let schema = try SchemaCopy().schema()
        return try #require(DocumentExample.conversations[name]).compactMap { example in
            if case .preface = example.content { return nil }
            return example.parts(schema).flatMap(\.bytes)
        }
    }

    private func frame(
        _ code: UInt8, _ body: any DqliteEncodable, revision: UInt8 = 0
    ) throws -> [UInt8] {
        let bytes = try body.dqliteBytes(revision: revision)
        let header = FrameHeader(bodyWords: UInt32(bytes.count / 8), code: code, revision: revision)
        var frame = [UInt8](repeating: 0, count: FrameHeader.size)
        frame.withUnsafeMutableBytes { memory in
            var writer = WordWriter(memory)
            header.encode(into: &writer)
        }
        return frame + bytes
    }

    private func envelope(_ message: any ProtobufEncodable) -> [UInt8] {
        let bytes = message.protobufBytes()
        precondition(bytes.count < 128)
        return [UInt8(bytes.count)] + bytes
    }

    @Test func examplesOfTheDqliteEncodingAreWhatTheCodeWrites() throws {
        #expect(
            try self.frames("dqlite") == [
                self.frame(3, OpenRequest(name: "demo.db")),
                self.frame(4, DatabaseResponse()),
                self.frame(
                    8, ExecSQLRequest(sql: "INSERT INTO book VALUES (?, ?)", parameters: [.integer(7), .text("Dune")])),
                self.frame(6, ResultResponse(lastInsertRowID: 7, rowsAffected: 1)),
                self.frame(9, QuerySQLRequest(sql: "SELECT id, title FROM book")),
                self.frame(7, RowsResponse(columns: ["id", "title"], values: [.integer(7), .text("Dune")])),
                self.frame(9, QuerySQLRequest(sql: "SELECT x FROM none")),
                self.frame(0, FailureResponse(code: 1, message: "no such table: none")),
            ])
        let parameters: [Value] = [.integer(-1), .real(0.5), .text("eight ch"), .null]
        let exec = ExecRequest(statementID: 3, parameters: parameters)
        #expect(try self.frames("tuple-0") == [self.frame(5, exec)])
        #expect(try self.frames("tuple-1") == [self.frame(5, exec, revision: 1)])
        let rows = RowsResponse(
            columns: ["id", "name", "photo"],
            values: [.integer(1), .text("Ann"), .blob([0xff, 0xd8, 0xff]), .integer(2), .null, .null])
        #expect(try self.frames("rows") == [self.frame(7, rows)])
    }

    @Test func examplesOfTheProtobufEncodingAreWhatTheCodeWrites() throws {
        let insert = ExecSQLRequest(sql: "INSERT INTO book VALUES (?, ?)", parameters: [.integer(7), .text("Dune")])
        #expect(
            try self.frames("protobuf") == [
                self.envelope(Request(requestID: 1, sessionID: 1, body: .open(OpenRequest(name: "demo.db")))),
                self.envelope(Request(requestID: 2, sessionID: 1, timeoutMilliseconds: 5000, body: .execSQL(insert))),
                self.envelope(Response(requestID: 1, body: .database(DatabaseResponse()))),
                self.envelope(
                    Response(requestID: 2, body: .result(ResultResponse(lastInsertRowID: 7, rowsAffected: 1)))),
                self.envelope(
                    Request(
                        requestID: 3, sessionID: 1, window: 65536,
                        body: .querySQL(QuerySQLRequest(sql: "SELECT x FROM none")))),
                self.envelope(
                    Response(requestID: 3, body: .failure(FailureResponse(code: 1, message: "no such table: none")))),
            ])
    }

    @Test func theExampleOfFlowControlAddsUp() throws {
        let frames = try self.frames("flow")
        let part = RowsResponse(columns: ["title"], values: [.text("Dune")], more: true)
        #expect(frames[1] == self.envelope(Response(requestID: 4, body: .rows(part))))
        let last = RowsResponse(values: [.text("A Wizard of Earthsea, 1968")])
        #expect(frames[4] == self.envelope(Response(requestID: 4, body: .rows(last))))
        let blocked = BlockedResponse(bytesNeeded: UInt64(frames[4].count))
        #expect(frames[2] == self.envelope(Response(requestID: 4, body: .blocked(blocked))))
        #expect(frames[4].count > 32 - frames[1].count)
        // What the sentences beside the example say.
        let titles = try #require(DocumentExample.conversations["flow"]).map(\.title)
        #expect(titles[1] == "a part of \(frames[1].count) bytes, with its length")
        #expect(
            titles[2]
                == "the next part has \(frames[4].count) bytes, more than the \(32 - frames[1].count) that are left")
    }

    @Test func prefacesAreThoseOfTheCode() throws {
        let source = try String(
            contentsOf: Checkout.root.appending(path: "Sources/DqliteFraming/Preface.swift"), encoding: .utf8
        ).replacing("_", with: "")
        for word in [DocumentExample.legacyPreface, DocumentExample.protobufPreface] {
            #expect(source.contains("UInt64 = 0x\(String(word, radix: 16))"))
        }
        #expect(source.contains("UInt64 = \(DocumentExample.dqlitePreface)\n"))
    }

    @Test func everyResultCodeOfTheCodeIsExplained() throws {
        let code = try String(
            contentsOf: Checkout.root.appending(path: "Sources/DqliteProtocol/FailureCode.swift"), encoding: .utf8)
        let known = code.matches(of: /: UInt64 = (\d+)\n/).map { String($0.output.1) }
        let template = try String(contentsOf: Checkout.root.appending(path: "schema/protocol.md.in"), encoding: .utf8)
        let explained = template.matches(of: /\n\| (\d+) \|/).map { String($0.output.1) }
        #expect(!known.isEmpty)
        #expect(Set(known) == Set(explained))
    }

    @Test func aTemplateThatAsksForWhatIsNotThereIsAnError() throws {
        let document = Document(schema: try SchemaCopy().schema(), forms: [])
        let error = #expect(throws: SchemaErrors.self) {
            try document.text(template: "# Title\n\n{{types nothing}}\n", name: "protocol.md.in")
        }
        #expect(error?.description == "protocol.md.in:3:1: error: the schema has nothing for {{types nothing}}")
    }

    /// Links within the document lead to headings of it.
    @Test func linksLeadSomewhere() throws {
        let text = try String(contentsOf: Checkout.root.appending(path: "docs/protocol.md"), encoding: .utf8)
        let headings = text.split(separator: "\n").filter { $0.hasPrefix("#") }.map { line in
            line.drop { $0 == "#" || $0 == " " }.lowercased().replacing(" ", with: "-")
        }
        #expect(Set(headings).count == headings.count)
        for link in Set(text.matches(of: /\]\(#([^)]+)\)/).map { String($0.output.1) }) {
            #expect(headings.contains(link), "\(link)")
        }
    }
}
