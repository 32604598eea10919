// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec
import SwiftCodecDefaultModel

extension InfoCommand {
  /// What the packets of a stream are, as far as they can be told apart.
  private struct Packets {
    /// Number and bytes of frames of one kind.
    struct Kind {
      let name: String
      var count = 0
      var bytes = 0
    }

    var kinds = ["intra", "inter", "intra, by a residual layer", "inter, by a residual layer"].map { Kind(name: $0) }
    var hasIndex = false
    var hasEnd = false
    /// Why reading ended before the end.
    var fault: String?

    var frames: Int { kinds.reduce(0) { $0 + $1.count } }

    /// The packets from `start` on.
    init(_ bytes: [UInt8], from start: Int) {
      var at = start
      while at < bytes.count, !hasEnd {
        let prefix: VideoPacketPrefix
        do throws(DecodeError) {
          prefix = try VideoPacketPrefix(parsing: bytes, at: at)
          guard prefix.size <= bytes.count - at else { throw .truncated(offset: bytes.count) }
        } catch {
          fault = "frame \(frames): \(error.description)"
          return
        }
        if let isIntra = prefix.isIntra {
          let kind = (isIntra ? 0 : 1) + (prefix.isLayer ? 2 : 0)
          kinds[kind].count += 1
          kinds[kind].bytes += prefix.size
        }
        hasIndex = hasIndex || prefix.tag.description == "indx"
        hasEnd = prefix.tag.description == "END "
        at += prefix.size
      }
      if !hasEnd { fault = "the stream has no end: it is cut off" }
    }
  }

  /// A stream, without decoding it.
  static func describe(stream bytes: [UInt8], _ file: String, _ arguments: Arguments) throws(ToolError) {
    try arguments.refuse(["rate-point"], "on streams")
    var size = 0
    let header: VideoHeader
    do { header = try VideoHeader(parsing: Array(bytes.prefix(VideoHeader.maximumSize)), size: &size) } catch {
      throw .badData(file: file, error.description)
    }
    let packets = Packets(bytes, from: size)
    let known = [try loadModel(arguments)] + [try? Model.embeddedInter()].compactMap { $0 }
    func model(_ id: UInt32) -> Model? {
      known.first { model in model.domains.contains { model.bitstreamID(at: $0.lowerBound) == id } }
    }
    let rate = Double(header.rate.numerator) / Double(header.rate.denominator)
    let pixels = Double(header.width * header.height * max(1, packets.frames))
    let bitsPerPixel = Double(8 * bytes.count) / pixels
    let ids = [("intra_model", header.intraModelID)] + (header.interModelID.map { [("inter_model", $0)] } ?? [])
    if arguments.has("json") {
      var json: [JSON.Member] = []
      json.add("type", "stream")
      json.add("width", JSON(header.width))
      json.add("height", JSON(header.height))
      json.add("format", .string("\(header.format.name)"))
      json.add("bytes", JSON(bytes.count))
      json.add("frames", JSON(packets.frames))
      json.add("frame_rate", rate > 0 ? .number(rate) : .null)
      json.add("bpp", .number(bitsPerPixel))
      json.add("colour", .array(header.colour.bytes.map { JSON(Int($0)) }))
      for (name, id) in ids {
        json.add("\(name)_id", .string(hexadecimal(id)))
        json.add(name, model(id).map { .string($0.name) } ?? .null)
      }
      json.add("entropy", .string("\(header.entropy.name)"))
      json.add("segment_rows", header.segmentRows > 0 ? JSON(header.segmentRows) : .null)
      json.add(
        "kinds",
        .array(
          packets.kinds.filter { $0.count > 0 }.map {
            .object([
              JSON.Member(name: "kind", value: .string($0.name)), JSON.Member(name: "frames", value: JSON($0.count)),
              JSON.Member(name: "bytes", value: JSON($0.bytes)),
            ])
          }))
      json.add("index", .bool(packets.hasIndex))
      json.add("fault", packets.fault.map { .string($0) } ?? .null)
      return try printOutput(JSON.object(json).text)
    }
    let seconds = rate > 0 ? Double(packets.frames) / rate : 0
    var rows = [
      [
        "video",
        "\(header.width)x\(header.height), \(header.format.name), \(packets.frames) frames"
          + (rate > 0 ? ", \(compact(rate)) frames/s, \(fixed(seconds, 2)) s" : ""),
      ],
      [
        "size",
        "\(bytes.count) bytes, \(fixed(bitsPerPixel, 4)) bit/pixel"
          + (seconds > 0 ? ", \(fixed(Double(8 * bytes.count) / seconds / 1000, 1)) kbit/s" : ""),
      ],
    ]
    let colour = header.colour
    if colour != .unspecified {
      let range = colour.isFullRange ? "full" : "limited"
      rows.append([
        "colour", "primaries \(colour.primaries), transfer \(colour.transfer), matrix \(colour.matrix), \(range) range",
      ])
    }
    for (name, id) in ids {
      let name = name == "intra_model" ? "intra model" : "inter model"
      rows.append([name, hexadecimal(id) + "…" + (model(id).map { ", \(printable($0.name))" } ?? ", not one loaded")])
    }
    rows.append(["entropy model", "\(header.entropy.name)"])
    rows.append(["segments", header.segmentRows > 0 ? "of \(header.segmentRows) rows of the latent" : "1"])
    for kind in packets.kinds where kind.count > 0 {
      rows.append(["frames", "\(kind.count) \(kind.name), \(kind.bytes) bytes, \(kind.bytes / kind.count) each"])
    }
    rows.append(["index", packets.hasIndex ? "yes" : "none"])
    if let fault = packets.fault { rows.append(["fault", fault]) }
    try printOutput(rows.map { "\($0[0].padded(to: 15))\($0[1])\n" }.joined())
  }
}
