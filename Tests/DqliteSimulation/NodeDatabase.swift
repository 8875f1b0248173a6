import DqliteLog
import DqliteRaft

/// What a node applies its log to, and what answers clients: a model of the engine, or the engine itself.
protocol NodeDatabase: AnyObject {
    /// Whose it is. Set before anything is asked of it.
    var node: Node! { get set }
    /// Everything through here is applied.
    var applied: LogIndex { get }
    /// Whether somebody may look at it: all is applied of which the file may hold a part (rule 22).
    var isOpen: Bool { get }
    /// How far the file is, as the log has it.
    var marks: CheckpointMarks { get }

    /// Begins to live.
    func run()
    /// Goes on with what there is to do.
    func pump()
    /// The node leads, or does not.
    func changeRole(_ state: SoftState)
    /// Entries are committed, and are to be applied after all that came before.
    func commit(_ entries: [Entry])

    /// Runs a transaction that writes.
    func run(_ request: Request)
    /// Answers a read, if this node leads and need ask nobody whether it does.
    func readByLease(_ request: Request)
    /// Answers a read from what is applied.
    func serve(_ request: Request, _ how: String)

    /// Bytes that are written at once, and may be torn.
    var pageSize: Int { get }
    /// Bytes of a copy that are written in one go.
    var pieceSize: Int { get }
    /// Begins a copy of the file; nil: that is not possible now.
    ///
    /// - Parameter number: What the copy is called.
    func beginCopy(_ number: UInt64) -> (any CopySource)?
    /// The file is about to be replaced.
    func release()
    /// The file was replaced by a copy.
    func use(_ copy: DatabaseFiles.Copy) throws
    /// Looks whether it has what all have after the same entries.
    func check()
    /// What it lacks when all is well, or what is wrong with it; nil: nothing.
    func difference(at committed: LogIndex) -> String?
    /// Looks at all that it has when all is well.
    func checkAtEnd()
    /// The process has ended.
    func end()
}

/// The file of a database, as it is read for somebody else while checkpoints go on.
protocol CopySource: AnyObject {
    /// The file has everything through here.
    var start: LogIndex { get }
    /// Reads the next piece.
    func read() throws -> [UInt8]
    /// Whether everything was read.
    var isComplete: Bool { get }
    /// The newest entry of which what was read may hold a part.
    func end() throws -> LogIndex
}
