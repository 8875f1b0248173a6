import NIOPosix

/// How it is measured.
struct Setup {
    var sides: [Implementation]
    var nodes: Int
    var rounds: Int
    /// Of a round.
    var time: Duration
    var rows: Int
    /// nil: as each load has it.
    var clients: [Int]?
    var patience: Patience
    var isQuick: Bool
    var group: MultiThreadedEventLoopGroup
}
