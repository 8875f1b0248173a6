import DqliteEngine
import DqliteProtocol
import DqliteRaft
import DqliteWire

/// A transaction that a client has a session run, request by request.
final class SessionRun {
    /// What is being asked for.
    enum Stage {
        /// The transaction itself.
        case running
        /// Its end, after it has failed. Then tables are made, if they were missing.
        case rollingBack(isWithoutTables: Bool)
        case settingUp
    }

    /// What came of a request.
    struct Answer {
        var run: SessionRun
        var result: Result<[[Value]], EngineError>
    }

    let request: Request
    let session: EngineSession
    /// Whether the node is known to be as far as the request needs it.
    let isCurrent: Bool
    var script: SQLScript
    var stage = Stage.running
    /// Whether the client has its answer.
    var isAnswered = false

    init(_ request: Request, _ script: SQLScript, on session: EngineSession, isCurrent: Bool) {
        self.request = request
        self.script = script
        self.session = session
        self.isCurrent = isCurrent
    }

    var id: UInt64 { self.request.transaction.id }
}

/// What clients ask of the engine.
extension EngineDatabase {
    func run(_ request: Request) {
        guard self.isServing, self.isOpen, !self.node.isEnding else { return self.refuse(request) }
        let script = SQLScript(request.transaction, isSingle: false)
        if script.leavesTrail { self.cluster.checks.leavesTrail(request.transaction.id) }
        self.begin(request, script, isCurrent: false)
    }

    func readByLease(_ request: Request) {
        guard self.isServing, self.isOpen else { return self.refuse(request) }
        self.cluster.checks.count("reads by lease")
        // Some read on the overlay.
        self.begin(request, SQLScript(request.transaction, isSingle: request.transaction.id % 3 != 0), isCurrent: false)
    }

    func serve(_ request: Request, _ how: String) {
        self.cluster.checks.count(how)
        self.begin(request, SQLScript(request.transaction, isSingle: true), isCurrent: true)
    }

    private func refuse(_ request: Request) {
        self.node.reply(.notCommitted(leader: self.node.raft.leader), to: request)
    }

    private func begin(_ request: Request, _ script: SQLScript, isCurrent: Bool) {
        do throws(EngineError) {
            guard let engine = self.engine else { return self.refuse(request) }
            let session: EngineSession
            if let idle = self.idleSessions.popLast() {
                session = idle
            } else {
                session = try engine.openSession(
                    database: DatabaseFiles.database, encoding: .dqlite, isStateless: false)
            }
            let run = SessionRun(request, script, on: session, isCurrent: isCurrent)
            self.runs[run.id] = run
            self.proceed(run, after: [])
        } catch {
            self.refuse(request)
        }
    }

    private func proceed(_ run: SessionRun, after rows: [[Value]]) {
        if let request = run.script.next(after: rows) { return self.ask(request, run) }
        self.answer(run, .committed(run.script.results, version: run.script.version))
        self.finish(run)
    }

    private func ask(_ request: SQLScript.Request, _ run: SessionRun) {
        let sink = AnswerSink { [unowned self] in self.answers.append(SessionRun.Answer(run: run, result: $0)) }
        switch request {
        case .exec(let sql, let parameters): self.send(ExecSQLRequest(sql: sql, parameters: parameters), run, sink)
        case .query(let sql, let parameters): self.send(QuerySQLRequest(sql: sql, parameters: parameters), run, sink)
        }
    }

    private func send<Message: RequestMessage>(_ message: Message, _ run: SessionRun, _ sink: AnswerSink) {
        guard let bytes = try? message.dqliteBytes(revision: 0) else {
            preconditionFailure("the script is a text without NUL")
        }
        run.session.run(
            Message.code, revision: 0, request: RequestBody(bytes: bytes), timeout: nil, isCurrent: run.isCurrent,
            sink: sink)
    }

    /// Goes on with those whose requests were answered: what the engine tells several at a time comes in no order.
    func takeAnswers() {
        while !self.answers.isEmpty {
            let answers = self.answers.sorted { $0.run.id < $1.run.id }
            self.answers = []
            for answer in answers { self.take(answer.result, of: answer.run) }
        }
    }

    private func take(_ result: Result<[[Value]], EngineError>, of run: SessionRun) {
        switch (run.stage, result) {
        case (.running, .success(let rows)):
            // The client's next request comes after a while.
            self.soon(run) { self.proceed(run, after: rows) }
        case (.running, .failure(let error)): self.failed(run, error)
        case (.rollingBack(isWithoutTables: true), .success):
            run.stage = .settingUp
            self.soon(run) { self.ask(SQLScript.setup(self.cluster.plan.shape), run) }
        case (.rollingBack, .success), (.settingUp, .success): self.finish(run)
        case (.rollingBack, .failure), (.settingUp, .failure):
            // Whatever is left of the transaction goes with the session.
            self.finish(run, keepsSession: false)
        }
    }

    private func failed(_ run: SessionRun, _ error: EngineError) {
        self.node.trace("\(run.id): \(error)")
        let isWithoutTables = error.message.hasPrefix("no such table")
        if isWithoutTables, run.script.isSingle, run.request.transaction.isReadOnly {
            run.script.findNothing()
            self.answer(run, .committed(run.script.results, version: run.script.version))
            return self.finish(run)
        }
        self.answer(run, run.script.isCommitting && error.outcome != .notCommitted ? .unknown : self.refusal)
        run.stage = .rollingBack(isWithoutTables: isWithoutTables && !run.request.transaction.isReadOnly)
        // What is open is ended; if nothing is, that is no error to anybody.
        if run.script.isSingle {
            self.take(.success([]), of: run)
        } else {
            self.soon(run) { self.ask(.exec("ROLLBACK"), run) }
        }
    }

    private var refusal: Answer { .notCommitted(leader: self.node.raft.leader) }

    private func soon(_ run: SessionRun, _ body: @escaping () -> Void) {
        self.node.after(.zero...(.microseconds(500))) { if self.runs[run.id] === run { body() } }
    }

    private func answer(_ run: SessionRun, _ answer: Answer) {
        guard !run.isAnswered else { return }
        run.isAnswered = true
        self.node.reply(answer, to: run.request)
    }

    private func finish(_ run: SessionRun, keepsSession: Bool = true) {
        self.runs[run.id] = nil
        if keepsSession { self.idleSessions.append(run.session) } else { run.session.close {} }
    }

    /// The engine is gone under a transaction.
    func giveUp(_ run: SessionRun) { self.answer(run, run.script.isCommitting ? .unknown : self.refusal) }
}
