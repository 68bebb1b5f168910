"""How a model lies on disk: the container file, and the encodings of its tensors."""

from labcore.storage.container import Container as Container
from labcore.storage.container import ContainerError as ContainerError
from labcore.storage.container import load_model_ as load_model_
from labcore.storage.container import measure_written_bytes as measure_written_bytes
from labcore.storage.container import read_container as read_container
from labcore.storage.container import save_model as save_model
from labcore.storage.encodings import ENCODINGS as ENCODINGS
from labcore.storage.encodings import FILE_ENCODINGS as FILE_ENCODINGS
from labcore.storage.encodings import Encoding as Encoding
from labcore.storage.encodings import encoded_bytes as encoded_bytes
from labcore.storage.encodings import encoding_sizes as encoding_sizes
from labcore.storage.encodings import gzip_bytes as gzip_bytes
from labcore.storage.formats import sweep_formats as sweep_formats
from labcore.storage.sparse import Relative as Relative
