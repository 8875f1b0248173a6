import DqliteFraming
import DqliteProtocol
import NIOCore

/// How a stream to another node begins: each says who it is.
struct PeerGreeting: Sendable {
    /// Of this node.
    let id: UInt64
    let address: String

    private static let timeout = TimeAmount.seconds(2)

    /// Greets whoever is at the other end of a new connection. To be called on its event loop.
    ///
    /// - Returns: The connection, when it is the expected node that has answered; otherwise it is closed. In the C form nobody
    ///   answers.
    func greet(_ channel: any Channel, expecting id: UInt64, form: PeerForm) -> EventLoopFuture<any Channel> {
        switch form {
        case .native: self.greet(channel, expecting: id)
        case .c:
            channel.eventLoop.makeCompletedFuture {
                try self.write(Preface.dqlite, channel)
                return channel
            }
        }
    }

    private func write(_ preface: UInt64, _ channel: any Channel) throws {
        var hello = channel.allocator.buffer(capacity: 128)
        hello.writeInteger(preface, endianness: .little)
        try hello.writeDqliteRequest(ConnectRequest(serverID: self.id, address: self.address))
        channel.writeAndFlush(hello, promise: nil)
    }

    private func greet(_ channel: any Channel, expecting id: UInt64) -> EventLoopFuture<any Channel> {
        let answer = channel.eventLoop.makePromise(of: DqliteFrame.self)
        let handler = AnswerHandler()
        do {
            try channel.pipeline.syncOperations.addHandler(handler)
            handler.expect(answer, timeout: Self.timeout, eventLoop: channel.eventLoop)
            try self.write(Preface.raft, channel)
        } catch {
            answer.fail(error)
        }
        return answer.futureResult.assumeIsolated().flatMapThrowing { frame in
            let response: ServerResponse = try frame.body.dqliteMessage()
            guard response.serverID == id else { throw PeerError.reached(response.serverID) }
            // What comes then, if anything, is for whoever uses the stream.
            channel.pipeline.syncOperations.removeHandler(handler, promise: nil)
            return channel
        }.flatMapErrorThrowing { error in
            channel.close(promise: nil)
            throw error
        }.nonisolated()
    }
}

enum PeerError: Error, CustomStringConvertible {
    /// Another node listens at the address.
    case reached(UInt64)

    var description: String {
        switch self {
        case .reached(let id): "node \(id) listens at that address"
        }
    }
}
