/// The form that both ends of a stream use.
///
/// Nodes know each other by how they open their streams: whoever opens one in the C form is spoken to in it.
enum PeerForm: Hashable, Sendable {
    /// Between nodes of ours.
    case native
    /// To and from C nodes: without rounds, parts and questions about reads, with a snapshot in one message.
    case c
}
